"""Functionals as printed in their papers, with mpmath's numbers: where libxc has lost digits.

Each function takes alpha and beta of: density, then |grad rho_a|^2, grad rho_a . grad rho_b,
|grad rho_b|^2, then the kinetic energy densities, and gives the energy per volume.
"""

from __future__ import annotations

import numpy as np
from mpmath import mp

from dqc_lite.xc.components import COMPONENTS
from dqc_lite.xc.pbe import BETA, GAMMA


def number(leaf) -> mp.mpf:
    """A parameter, as the double that it is."""
    return mp.mpf(float(leaf))


def in_rows(exact, spin: int):
    """`exact` of the rows that `libxc_oracle.from_rows` takes."""
    if spin == 2:
        return exact

    def closed_shell(n, sigma, tau):
        return exact(n / 2, n / 2, sigma / 4, sigma / 4, sigma / 4, tau / 2, tau / 2)

    return closed_shell


def values_and_slopes(exact, rows: np.ndarray, digits: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Of ``exact(*column)`` in 60 digits.

    Central differences with steps of 1e-20, relative, err by 1e-40; from a squared gradient of
    zero only upwards. Other `digits` have steps of a third of them.
    """
    energy, slopes = np.zeros(rows.shape[1]), np.zeros_like(rows)
    with mp.workdps(digits):
        for point, column in enumerate(rows.T):
            values = [mp.mpf(float(v)) for v in column]
            energy[point] = float(exact(*values))
            for i, value in enumerate(values):
                step = mp.mpf(10) ** -(digits // 3) * (value or mp.cbrt(values[0]) ** 8)
                right, left = (
                    exact(*values[:i], value + h, *values[i + 1 :])
                    for h in (step, -step if value else 0)
                )
                slopes[i, point] = float((right - left) / (step + (step if value else 0)))
    return energy, slopes


def uniform_exchange(rho):
    """Of one spin."""
    return -mp.mpf(3) / 2 * mp.cbrt(3 / (4 * mp.pi)) * mp.cbrt(rho) ** 4


def pw92_per_particle(a, b, label: str = "lda_c_pw_mod"):
    p = COMPONENTS[label]()

    def g(k, rs):
        x = mp.sqrt(rs)
        beta = [number(q[k]) for q in (p.beta1, p.beta2, p.beta3, p.beta4)]
        series = sum(c * x ** (i + 1) for i, c in enumerate(beta))
        scale = 2 * number(p.a[k])
        return -scale * (1 + number(p.alpha1[k]) * rs) * mp.log(1 + 1 / (scale * series))

    n = a + b
    rs, z = mp.cbrt(3 / (4 * mp.pi * n)), (a - b) / n
    f = ((1 + z) ** (mp.mpf(4) / 3) + (1 - z) ** (mp.mpf(4) / 3) - 2) / (2 ** (mp.mpf(4) / 3) - 2)
    curvature = g(2, rs) / number(p.stiffness_scale)
    return g(0, rs) - curvature * f * (1 - z**4) + (g(1, rs) - g(0, rs)) * f * z**4


def pw92(a, b, *_):
    return (a + b) * pw92_per_particle(a, b)


def pbe_per_particle(a, b, sigma_total, beta=BETA):
    n, z = a + b, (a - b) / (a + b)
    beta, gamma = mp.mpf(beta), mp.mpf(GAMMA)
    phi = ((1 + z) ** (mp.mpf(2) / 3) + (1 - z) ** (mp.mpf(2) / 3)) / 2
    kf = mp.cbrt(3 * mp.pi**2 * n)
    t2 = sigma_total / (4 * phi**2 * (4 * kf / mp.pi) * n**2)
    e = pw92_per_particle(a, b)
    big_a = beta / gamma / (mp.exp(-e / (gamma * phi**3)) - 1)
    fraction = (1 + big_a * t2) / (1 + big_a * t2 + big_a**2 * t2**2)
    return e + gamma * phi**3 * mp.log(1 + beta / gamma * t2 * fraction)


def pbe_correlation(a, b, aa, ab, bb, *_):
    return (a + b) * pbe_per_particle(a, b, aa + 2 * ab + bb)


def lyp(a, b, aa, ab, bb, *_):
    """Equation 2 of Miehlich et al."""
    ca, cb, cc, cd = (mp.mpf(v) for v in (0.04918, 0.132, 0.2533, 0.349))
    n, total = a + b, aa + 2 * ab + bb
    r, third = 1 / mp.cbrt(n), mp.mpf(1) / 3
    omega = mp.exp(-cc * r) / (1 + cd * r) * n ** (-11 * third)
    delta = cc * r + cd * r / (1 + cd * r)
    fermi = 2 ** (11 * third) * mp.mpf(3) / 10 * (3 * mp.pi**2) ** (2 * third)
    inner = (
        fermi * (a ** (8 * third) + b ** (8 * third))
        + (47 - 7 * delta) / 18 * total
        - (45 - delta) / 18 * (aa + bb)
        - (delta - 11) / 9 * (a * aa + b * bb) / n
    )
    outer = (
        -2 * third * n**2 * total + (2 * third * n**2 - a**2) * bb + (2 * third * n**2 - b**2) * aa
    )
    return -ca * 4 / (1 + cd * r) * a * b / n - ca * cb * omega * (a * b * inner + outer)


def b88(a, b, aa, ab, bb, *_):
    def one(rho, sigma):
        x = mp.sqrt(sigma) / mp.cbrt(rho) ** 4
        beta = mp.mpf(0.0042)
        return uniform_exchange(rho) - mp.cbrt(rho) ** 4 * beta * x**2 / (
            1 + 6 * beta * x * mp.asinh(x)
        )

    return one(a, aa) + one(b, bb)


def hcth_93(a, b, aa, ab, bb, *_):
    """Exchange, equal spins, opposite spins."""
    fit = COMPONENTS["gga_xc_hcth_93"]()

    def series(coefficients, gamma, x2):
        u = gamma * x2 / (1 + gamma * x2)
        return sum(number(c) * u**i for i, c in enumerate(coefficients))

    spins = [(rho, sigma / mp.cbrt(rho) ** 8) for rho, sigma in ((a, aa), (b, bb))]
    same = [rho * pw92_per_particle(rho, mp.mpf(0), "lda_c_pw") for rho, _ in spins]
    opposite = (a + b) * pw92_per_particle(a, b, "lda_c_pw") - sum(same)
    x, c = fit.exchange, fit.correlation
    return (
        sum(uniform_exchange(r) * series(x.coefficients, mp.mpf(0.004), x2) for r, x2 in spins)
        + sum(e * series(c.same, mp.mpf(0.2), x2) for e, (_, x2) in zip(same, spins, strict=True))
        + opposite * series(c.opposite, mp.mpf(0.006), (spins[0][1] + spins[1][1]) / 2)
    )


def tpss_correlation(label: str):
    """Equations 11 to 14 of TPSS; in revTPSS PBE's beta depends on r_s."""
    p = COMPONENTS[label]()

    def beta(n):
        if label == "mgga_c_tpss":
            return number(p.beta)
        rs = mp.cbrt(3 / (4 * mp.pi * n))
        numerator, denominator = number(p.beta_numerator), number(p.beta_denominator)
        return number(p.beta) * (1 + numerator * rs) / (1 + denominator * rs)

    def energy(a, b, aa, ab, bb, tau_a, tau_b):
        n, third = a + b, mp.mpf(1) / 3
        zeta, sigma = (a - b) / n, aa + 2 * ab + bb
        slope = 4 * (b * b * aa + a * a * bb - 2 * a * b * ab) / n**4
        xi2 = slope / (4 * (3 * mp.pi**2 * n) ** (2 * third))
        c = sum(number(c) * zeta ** (2 * k) for k, c in enumerate(p.c))
        c /= (1 + xi2 * ((1 + zeta) ** (-4 * third) + (1 - zeta) ** (-4 * third)) / 2) ** 4
        z, e = sigma / (8 * n * (tau_a + tau_b)), pbe_per_particle(a, b, sigma, beta(n))
        alone = (
            m / n * max(pbe_per_particle(m, mp.mpf(0), s, beta(m)), e)
            for m, s in ((a, aa), (b, bb))
        )
        e = e * (1 + c * z * z) - (1 + c) * z * z * sum(alone)
        return n * e * (1 + number(p.d) * e * z**3)

    return energy


def switch_of(fit, alpha):
    """f(alpha) of the SCAN family: exponentials, between 0 and 2.5 perhaps a polynomial."""
    if fit.polynomial is not None and 0 < alpha <= 2.5:
        return sum(number(c) * alpha**i for i, c in enumerate(fit.polynomial))
    if alpha < 1:
        return mp.exp(-number(fit.c1) * alpha / (1 - alpha))
    return -number(fit.d) * mp.exp(number(fit.c2) / (1 - alpha))


def regularized(component, excess, uniform, polarized=1):
    """alpha of SCAN, (tau - tau_W) / tau_u, or what rSCAN makes of it.

    `uniform` is the tau of the unpolarized gas, `polarized` times it that of the gas.
    """
    if not hasattr(component, "tau_r"):
        return excess / (uniform * polarized)
    alpha = excess / ((uniform + number(component.tau_r)) * polarized)
    return alpha**3 / (alpha**2 + number(component.alpha_r))


def scan_exchange(label: str):
    """SCAN and rSCAN, as the exact spin scaling (E[2 rho_a] + E[2 rho_b]) / 2."""
    c = COMPONENTS[label]()
    k1, h0, a1 = map(number, (c.k1, c.h0, c.a1))
    mu, b2 = mp.mpf(10) / 81, mp.sqrt(mp.mpf(5913) / 405000)
    b1 = mp.mpf(511) / 13500 / (2 * b2)
    b4 = mu**2 / k1 - mp.mpf(1606) / 18225 - b1**2

    def one(rho, sigma, tau):
        p = sigma / (4 * (6 * mp.pi**2) ** (mp.mpf(2) / 3) * mp.cbrt(rho) ** 8)
        uniform = mp.mpf(3) / 10 * (3 * mp.pi**2) ** (mp.mpf(2) / 3) * mp.cbrt(2 * rho) ** 5
        alpha = regularized(c, 2 * tau - sigma / (4 * rho), uniform)
        f = switch_of(c.switch, alpha)
        mixed = b1 * p + b2 * (1 - alpha) * mp.exp(-((1 - alpha) ** 2) / 2)
        x = mu * p * (1 + b4 * p / mu * mp.exp(-b4 * p / mu)) + mixed**2
        h1 = 1 + k1 - k1 / (1 + x / k1)
        decay = 1 - mp.exp(-a1 / mp.sqrt(mp.sqrt(p))) if p else mp.mpf(1)
        return uniform_exchange(rho) * (h1 + f * (h0 - h1)) * decay

    def energy(a, b, aa, ab, bb, tau_a, tau_b):
        return one(a, aa, tau_a) + one(b, bb, tau_b)

    return energy


def scan_correlation(label: str):
    """SCAN and rSCAN: equations 12 to 14 of the supplement of SCAN."""
    c = COMPONENTS[label]()
    third = mp.mpf(1) / 3

    def one_orbital(rs, z, s2):
        e = -number(c.b1) / (1 + number(c.b2) * mp.sqrt(rs) + number(c.b3) * rs)
        d_x = ((1 + z) ** (4 * third) + (1 - z) ** (4 * third)) / 2
        g = (1 - number(c.g) * (d_x - 1)) * (1 - z**12)
        w = mp.exp(-e / number(c.b1)) - 1
        h = number(c.b1) * mp.log(1 + w * (1 - (1 + 4 * number(c.chi) * s2) ** mp.mpf(-0.25)))
        return (e + h) * g

    def slowly_varying(a, b, rs, z, s2):
        e = pw92_per_particle(a, b)
        phi = ((1 + z) ** (2 * third) + (1 - z) ** (2 * third)) / 2
        scale = number(c.gamma) * phi**3
        beta = number(c.beta) * (1 + number(c.beta_numerator) * rs)
        beta /= 1 + number(c.beta_denominator) * rs
        t2 = (3 * mp.pi**2 / 16) ** (2 * third) * s2 / (phi**2 * rs)
        w = mp.exp(-e / scale) - 1
        y = beta / (number(c.gamma) * w) * t2
        return e + scale * mp.log(1 + w * (1 - (1 + 4 * y) ** mp.mpf(-0.25)))

    def energy(a, b, aa, ab, bb, tau_a, tau_b):
        n, sigma = a + b, aa + 2 * ab + bb
        rs, z = mp.cbrt(3 / (4 * mp.pi * n)), (a - b) / n
        s2 = sigma / (4 * (3 * mp.pi**2) ** (2 * third) * mp.cbrt(n) ** 8)
        uniform = mp.mpf(3) / 10 * (3 * mp.pi**2) ** (2 * third) * mp.cbrt(n) ** 5
        d_s = ((1 + z) ** (5 * third) + (1 - z) ** (5 * third)) / 2
        alpha = regularized(c, tau_a + tau_b - sigma / (8 * n), uniform, d_s)
        f = switch_of(c.switch, alpha)
        return n * ((1 - f) * slowly_varying(a, b, rs, z, s2) + f * one_orbital(rs, z, s2))

    return energy


def minnesota_exchange(label: str):
    """PBE's enhancement times a polynomial in (tau_u - tau) / (tau_u + tau); in M06-HF also h.

    h(x, z) of Van Voorhis and Scuseria, z = 2 (tau - tau_u) / rho^(5/3).
    """
    c = COMPONENTS[label]()

    def van_voorhis_scuseria(x2, z):
        d, gamma = [number(v) for v in c.d], 1 + number(c.alpha) * (x2 + z)
        quadratic = d[3] * x2**2 + d[4] * x2 * z + d[5] * z**2
        return d[0] / gamma + (d[1] * x2 + d[2] * z) / gamma**2 + quadratic / gamma**3

    def one(rho, sigma, tau):
        kappa, mu = number(c.gga.kappa), number(c.gga.mu)
        x2 = sigma / mp.cbrt(rho) ** 8
        p = x2 / (4 * (6 * mp.pi**2) ** (mp.mpf(2) / 3))
        uniform = mp.mpf(3) / 10 * (6 * mp.pi**2) ** (mp.mpf(2) / 3) * mp.cbrt(rho) ** 5
        w = (uniform - tau) / (uniform + tau)
        factor = 1 + kappa - kappa / (1 + mu * p / kappa)
        factor *= sum(number(a) * w**i for i, a in enumerate(c.a))
        if c.d is not None:
            factor += van_voorhis_scuseria(x2, 2 * (tau - uniform) / mp.cbrt(rho) ** 5)
        return number(c.scale) * uniform_exchange(rho) * factor

    def energy(a, b, aa, ab, bb, tau_a, tau_b):
        return one(a, aa, tau_a) + one(b, bb, tau_b)

    return energy


def exact_attenuation(a):
    decay = mp.exp(-1 / (4 * a**2))
    closed = mp.sqrt(mp.pi) * mp.erf(1 / (2 * a)) - 3 * a + 4 * a**3 + (2 * a - 4 * a**3) * decay
    return 1 - mp.mpf(8) / 3 * a * closed


def m11_exchange(omega: float):
    """Two enhancements, each times a polynomial in w, of short range."""
    c = COMPONENTS["hyb_mgga_x_m11"]()

    def one(rho, sigma, tau):
        p = sigma / mp.cbrt(rho) ** 8 / (4 * (6 * mp.pi**2) ** (mp.mpf(2) / 3))
        uniform = mp.mpf(3) / 10 * (6 * mp.pi**2) ** (mp.mpf(2) / 3) * mp.cbrt(rho) ** 5
        w = (uniform - tau) / (uniform + tau)
        pbe, rpbe = ([number(g.kappa), number(g.mu) * p] for g in (c.pbe, c.rpbe))
        of_a, of_b = (sum(number(a) * w**i for i, a in enumerate(v)) for v in (c.a, c.b))
        factor = (1 + pbe[0] - pbe[0] / (1 + pbe[1] / pbe[0])) * of_a
        factor += (1 + rpbe[0] * (1 - mp.exp(-rpbe[1] / rpbe[0]))) * of_b
        a = number(omega) / (2 * mp.cbrt(6 * mp.pi**2 * rho))
        return uniform_exchange(rho) * factor * exact_attenuation(a)

    def energy(a, b, aa, ab, bb, tau_a, tau_b):
        return one(a, aa, tau_a) + one(b, bb, tau_b)

    return energy


OMEGA = 0.3

EXACT = {
    "gga_x_b88": b88,
    "lda_c_pw_mod": pw92,
    "gga_c_pbe": pbe_correlation,
    "gga_c_lyp": lyp,
    "gga_xc_hcth_93": hcth_93,
    "mgga_x_scan": scan_exchange("mgga_x_scan"),
    "mgga_x_rscan": scan_exchange("mgga_x_rscan"),
    "mgga_c_rscan": scan_correlation("mgga_c_rscan"),
    "mgga_c_tpss": tpss_correlation("mgga_c_tpss"),
    "mgga_c_revtpss": tpss_correlation("mgga_c_revtpss"),
    "hyb_mgga_x_m11": m11_exchange(OMEGA),
    "hyb_mgga_x_m06_2x": minnesota_exchange("hyb_mgga_x_m06_2x"),
    "hyb_mgga_x_m06_hf": minnesota_exchange("hyb_mgga_x_m06_hf"),
}
