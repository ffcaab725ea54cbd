"""Names of functionals as text in terms of simpler ones, after PySCF and libxc.

The text is what `dqc_lite.xc.names.functional` reads. PySCF's tables are
``pyscf.dft.libxc.XC_ALIAS`` and ``XC_CODES``; the mixtures are libxc's.
"""

from __future__ import annotations

B3 = "0.2*HF + 0.08*LDA_X + 0.72*GGA_X_B88"

MIXTURES = {
    "gga_xc_mpwlyp1w": "GGA_X_MPW91 + 0.12*LDA_C_VWN + 0.88*GGA_C_LYP",
    "gga_xc_pbe1w": "GGA_X_PBE + 0.26*LDA_C_VWN + 0.74*GGA_C_PBE",
    "gga_xc_pbelyp1w": "GGA_X_PBE + 0.26*LDA_C_VWN + 0.74*GGA_C_LYP",
    "gga_xc_xlyp": "-0.069*LDA_X + 0.722*GGA_X_B88 + 0.347*GGA_X_PW91 + GGA_C_LYP",
    "hyb_gga_xc_b1lyp": "0.25*HF + 0.75*GGA_X_B88 + GGA_C_LYP",
    "hyb_gga_xc_b1pw91": "0.25*HF + 0.75*GGA_X_B88 + GGA_C_PW91",
    "hyb_gga_xc_b3lyp": f"{B3} + 0.19*LDA_C_VWN_RPA + 0.81*GGA_C_LYP",
    "hyb_gga_xc_b3lyp3": f"{B3} + 0.19*LDA_C_VWN_3 + 0.81*GGA_C_LYP",
    "hyb_gga_xc_b3lyp5": f"{B3} + 0.19*LDA_C_VWN + 0.81*GGA_C_LYP",
    "hyb_gga_xc_b3lyps": (
        "0.15*HF + 0.13*LDA_X + 0.72*GGA_X_B88 + 0.19*LDA_C_VWN_RPA + 0.81*GGA_C_LYP"
    ),
    "hyb_gga_xc_b3p86": f"{B3} + 0.19*LDA_C_VWN_RPA + 0.81*GGA_C_P86",
    "hyb_gga_xc_b3pw91": f"{B3} + 0.19*LDA_C_PW + 0.81*GGA_C_PW91",
    "hyb_gga_xc_b5050lyp": (
        "0.5*HF + 0.08*LDA_X + 0.42*GGA_X_B88 + 0.19*LDA_C_VWN + 0.81*GGA_C_LYP"
    ),
    "hyb_gga_xc_bhandh": "0.5*HF + 0.5*LDA_X + GGA_C_LYP",
    "hyb_gga_xc_bhandhlyp": "0.5*HF + 0.5*GGA_X_B88 + GGA_C_LYP",
    "hyb_gga_xc_blyp35": "0.35*HF + 0.65*GGA_X_B88 + GGA_C_LYP",
    "hyb_gga_xc_cam_qtp_00": (
        "0.54*HF + 0.37*LR_HF(0.29) + 0.09*GGA_X_B88 + 0.37*GGA_X_ITYH"
        " + 0.2*LDA_C_VWN + 0.8*GGA_C_LYP"
    ),
    "hyb_gga_xc_cam_qtp_01": (
        "0.23*HF + 0.77*LR_HF(0.31) + 0.77*GGA_X_ITYH + 0.2*LDA_C_VWN + 0.8*GGA_C_LYP"
    ),
    "hyb_gga_xc_cam_qtp_02": "0.28*HF + 0.72*LR_HF(0.335) + 0.72*GGA_X_ITYH + GGA_C_LYP",
    "hyb_gga_xc_camh_b3lyp": (
        "0.19*HF + 0.31*LR_HF(0.33) + 0.5*GGA_X_B88 + 0.31*GGA_X_ITYH"
        " + 0.19*LDA_C_VWN + 0.81*GGA_C_LYP"
    ),
    "hyb_gga_xc_hflyp": "HF + GGA_C_LYP",
    "hyb_gga_xc_hse12": (
        "0.313*SR_HF(0.0978977840165) + GGA_X_WPBEH_UNSCREENED - 0.313*GGA_X_WPBEH + GGA_C_PBE"
    ),
    "hyb_gga_xc_hse12s": (
        "0.425*SR_HF(0.2159043020472) + GGA_X_WPBEH_UNSCREENED - 0.425*GGA_X_WPBEH + GGA_C_PBE"
    ),
    "hyb_gga_xc_kmlyp": "0.557*HF + 0.443*LDA_X + 0.552*LDA_C_VWN_RPA + 0.448*GGA_C_LYP",
    "hyb_gga_xc_lc_blyp": "LR_HF(0.33) + GGA_X_ITYH + GGA_C_LYP",
    "hyb_gga_xc_lc_blyp_ea": "LR_HF(0.3) + GGA_X_ITYH + GGA_C_LYP",
    "hyb_gga_xc_lc_qtp": "LR_HF(0.475) + GGA_X_ITYH + GGA_C_LYP",
    "hyb_gga_xc_mpw1k": "0.428*HF + 0.572*GGA_X_MPW91 + GGA_C_PW91",
    "hyb_gga_xc_mpw1lyp": "0.25*HF + 0.75*GGA_X_MPW91 + GGA_C_LYP",
    "hyb_gga_xc_mpw1pbe": "0.25*HF + 0.75*GGA_X_MPW91 + GGA_C_PBE",
    "hyb_gga_xc_mpw1pw": "0.25*HF + 0.75*GGA_X_MPW91 + GGA_C_PW91",
    "hyb_gga_xc_mpw3lyp": (
        "0.218*HF + 0.073*LDA_X + 0.709*GGA_X_MPW91 + 0.129*LDA_C_VWN_RPA + 0.871*GGA_C_LYP"
    ),
    "hyb_gga_xc_mpw3pw": (
        "0.2*HF + 0.08*LDA_X + 0.72*GGA_X_MPW91 + 0.19*LDA_C_VWN_RPA + 0.81*GGA_C_PW91"
    ),
    "hyb_gga_xc_mpwlyp1m": "0.05*HF + 0.95*GGA_X_MPW91 + GGA_C_LYP",
    "hyb_gga_xc_o3lyp": (
        "0.1161*HF + 0.071006917*LDA_X + 0.8133*GGA_X_OPTX + 0.19*LDA_C_VWN + 0.81*GGA_C_LYP"
    ),
    "hyb_gga_xc_pbe0_13": "0.33333333333333333*HF + 0.66666666666666667*GGA_X_PBE + GGA_C_PBE",
    "hyb_gga_xc_pbe38": "0.375*HF + 0.625*GGA_X_PBE + GGA_C_PBE",
    "hyb_gga_xc_pbe50": "0.5*HF + 0.5*GGA_X_PBE + GGA_C_PBE",
    "hyb_gga_xc_pbe_2x": "0.56*HF + 0.44*GGA_X_PBE + GGA_C_PBE",
    "hyb_gga_xc_pbe_sol0": "0.25*HF + 0.75*GGA_X_PBE_SOL + GGA_C_PBE_SOL",
    "hyb_gga_xc_pbeh": "0.25*HF + 0.75*GGA_X_PBE + GGA_C_PBE",
    "hyb_gga_xc_revb3lyp": (
        "0.2*HF + 0.13*LDA_X + 0.67*GGA_X_B88 + 0.16*LDA_C_VWN_RPA + 0.84*GGA_C_LYP"
    ),
    "hyb_gga_xc_tuned_cam_b3lyp": (
        "0.0799*HF + 0.9201*LR_HF(0.15) + 0.9201*GGA_X_ITYH + 0.19*LDA_C_VWN + 0.81*GGA_C_LYP"
    ),
    "hyb_gga_xc_x3lyp": (
        "0.218*HF + 0.073*LDA_X + 0.542385*GGA_X_B88 + 0.166615*GGA_X_PW91"
        " + 0.129*LDA_C_VWN_RPA + 0.871*GGA_C_LYP"
    ),
    "hyb_mgga_x_scan0": "0.25*HF + 0.75*MGGA_X_SCAN",
    "hyb_mgga_xc_b88b95": "0.28*HF + 0.72*GGA_X_B88 + MGGA_C_BC95",
    "hyb_mgga_xc_bb1k": "0.42*HF + 0.58*GGA_X_B88 + MGGA_C_BC95",
    "hyb_mgga_xc_mpw1b95": "0.31*HF + 0.69*GGA_X_MPW91 + MGGA_C_BC95",
    "hyb_mgga_xc_mpwb1k": "0.44*HF + 0.56*GGA_X_MPW91 + MGGA_C_BC95",
    "hyb_mgga_xc_pw6b95": "0.28*HF + 0.72*GGA_X_MPW91_PW6B95 + MGGA_C_BC95_PW6B95",
    "hyb_mgga_xc_pwb6k": "0.46*HF + 0.54*GGA_X_MPW91_PWB6K + MGGA_C_BC95_PWB6K",
    "hyb_mgga_xc_r2scan0": "0.25*HF + 0.75*MGGA_X_R2SCAN + MGGA_C_R2SCAN",
    "hyb_mgga_xc_r2scan50": "0.5*HF + 0.5*MGGA_X_R2SCAN + MGGA_C_R2SCAN",
    "hyb_mgga_xc_r2scanh": "0.1*HF + 0.9*MGGA_X_R2SCAN + MGGA_C_R2SCAN",
    "hyb_mgga_xc_revtpssh": "0.1*HF + 0.9*MGGA_X_REVTPSS + MGGA_C_REVTPSS",
    "hyb_mgga_xc_tpss0": "0.25*HF + 0.75*MGGA_X_TPSS + MGGA_C_TPSS",
    "hyb_mgga_xc_tpssh": "0.1*HF + 0.9*MGGA_X_TPSS + MGGA_C_TPSS",
    "mgga_xc_tpsslyp1w": "MGGA_X_TPSS + 0.26*LDA_C_VWN + 0.74*GGA_C_LYP",
}
"""libxc label -> the sum that it is."""

EXACT_EXCHANGE: dict[str, float] = {
    "hyb_mgga_x_m05": 0.28,
    "hyb_mgga_x_m05_2x": 0.56,
    "hyb_mgga_x_m06": 0.27,
    "hyb_mgga_x_m06_2x": 0.54,
    "hyb_mgga_x_m06_hf": 1.0,
    "hyb_gga_xc_b97": 0.1943,
    "hyb_gga_xc_b97_1": 0.21,
    "hyb_gga_xc_b97_2": 0.21,
    "hyb_gga_xc_b97_3": 0.269288,
    "hyb_gga_xc_b97_k": 0.42,
    "hyb_gga_xc_b97_1p": 0.15,
    "hyb_gga_xc_sb98_1a": 0.229015,
    "hyb_gga_xc_sb98_1b": 0.199352,
    "hyb_gga_xc_sb98_1c": 0.192416,
    "hyb_gga_xc_sb98_2a": 0.232055,
    "hyb_gga_xc_sb98_2b": 0.237978,
    "hyb_gga_xc_sb98_2c": 0.219847,
    "hyb_gga_x_sogga11_x": 0.4015,
    "hyb_mgga_x_tau_hcth": 0.15,
    "hyb_mgga_x_bmk": 0.42,
    "hyb_mgga_x_mn15": 0.44,
}
"""Fraction of exact exchange that goes with a component, by its label."""

NICKNAMES = {
    "LDA": "LDA_X",
    "SLATER": "LDA_X",
    "VWN3": "LDA_C_VWN_RPA",
    "VWNRPA": "LDA_C_VWN_RPA",
    "VWN5": "LDA_C_VWN",
    "B88": "GGA_X_B88",
    "PBE0": "HYB_GGA_XC_PBEH",
    "PBE1PBE": "HYB_GGA_XC_PBEH",
    "OPTXCORR": "0.7344536875999693*LDA_X - 0.6984752285760186*GGA_X_OPTX",
    "B3LYP": "HYB_GGA_XC_B3LYP",
    "B3LYPG": "HYB_GGA_XC_B3LYP",
    "B3LYP5": "HYB_GGA_XC_B3LYP5",
    "B3P86": "HYB_GGA_XC_B3P86",
    "B3P86G": "HYB_GGA_XC_B3P86",
    "B3P86V5": f"{B3} + 0.81*GGA_C_P86 + 0.19*LDA_C_VWN",
    "O3LYP": "HYB_GGA_XC_O3LYP",
    "MPW3PW": "MPW3PW5",
    "MPW3PW5": "0.2*HF + 0.08*LDA_X + 0.72*GGA_X_MPW91 + 0.81*GGA_C_PW91 + 0.19*LDA_C_VWN",
    "MPW3PWG": "HYB_GGA_XC_MPW3PW",
    "MPW3LYP": "MPW3LYP5",
    "MPW3LYP5": ("0.218*HF + 0.073*LDA_X + 0.709*GGA_X_MPW91 + 0.871*GGA_C_LYP + 0.129*LDA_C_VWN"),
    "MPW3LYPG": "HYB_GGA_XC_MPW3LYP",
    "REVB3LYP": "REVB3LYP5",
    "REVB3LYP5": "0.2*HF + 0.13*LDA_X + 0.67*GGA_X_B88 + 0.84*GGA_C_LYP + 0.16*LDA_C_VWN",
    "REVB3LYPG": "HYB_GGA_XC_REVB3LYP",
    "X3LYP": "HYB_GGA_XC_X3LYP",
    "X3LYPG": "HYB_GGA_XC_X3LYP",
    "X3LYP5": (
        "0.218*HF + 0.073*LDA_X + 0.542385*GGA_X_B88 + 0.166615*GGA_X_PW91"
        " + 0.871*GGA_C_LYP + 0.129*LDA_C_VWN"
    ),
    "CAMB3LYP": "HYB_GGA_XC_CAM_B3LYP",
    "B5050LYP": "HYB_GGA_XC_B5050LYP",
    "MPW1LYP": "HYB_GGA_XC_MPW1LYP",
    "MPW1PBE": "HYB_GGA_XC_MPW1PBE",
    "PBE50": "HYB_GGA_XC_PBE50",
    "REVPBE0": "0.25*HF + 0.75*GGA_X_PBE_R + GGA_C_PBE",
    "TPSS0": "HYB_MGGA_XC_TPSS0",
    "B1B95": "HYB_MGGA_XC_B88B95",
}
"""PySCF's names that stand for the same wherever they appear."""

ALIASES = {
    "BLYP": "B88,LYP",
    "BP86": "B88,P86",
    "PW91": "PW91,PW91",
    "PBE": "PBE,PBE",
    "REVPBE": "PBE_R,PBE",
    "PBESOL": "PBE_SOL,PBE_SOL",
    "TPSS": "TPSS,TPSS",
    "REVTPSS": "REVTPSS,REVTPSS",
    "SCAN": "SCAN,SCAN",
    "RSCAN": "RSCAN,RSCAN",
    "R2SCAN": "R2SCAN,R2SCAN",
    "OLYP": "OPTX,LYP",
    "OPBE": "OPTX,PBE",
    "RPBE": "RPBE,PBE",
    "BPBE": "B88,PBE",
    "MPW91": "MPW91,PW91",
    "HFLYP": "HF,LYP",
    "HFPW92": "HF,PW_MOD",
    "SPW92": "SLATER,PW_MOD",
    "SVWN": "SLATER,VWN",
    "M06_L": "M06_L,M06_L",
    "M06L": "M06_L,M06_L",
    "SCAN0": "SCAN0,SCAN",
    "SOGGA11": "SOGGA11,SOGGA11",
    "SOGGA11_X": "SOGGA11_X,SOGGA11_X",
    "SOGGA11X": "SOGGA11_X,SOGGA11_X",
    "N12": "N12,N12",
    "N12_SX": "N12_SX,N12_SX",
    "N12SX": "N12_SX,N12_SX",
    "GAM": "GAM,GAM",
    "MN15": "MN15,MN15",
    "MN15_L": "MN15_L,MN15_L",
    "MN15L": "MN15_L,MN15_L",
    "M05": "HYB_MGGA_X_M05,MGGA_C_M05",
    "M05_2X": "HYB_MGGA_X_M05_2X,MGGA_C_M05_2X",
    "M052X": "HYB_MGGA_X_M05_2X,MGGA_C_M05_2X",
    "M06": "HYB_MGGA_X_M06,MGGA_C_M06",
    "M06_2X": "HYB_MGGA_X_M06_2X,MGGA_C_M06_2X",
    "M062X": "HYB_MGGA_X_M06_2X,MGGA_C_M06_2X",
    "M06_HF": "HYB_MGGA_X_M06_HF,MGGA_C_M06_HF",
    "M06HF": "HYB_MGGA_X_M06_HF,MGGA_C_M06_HF",
}
"""PySCF's names of whole functionals, understood only in text without a comma."""

OTHER_NAMES = {
    "B98": "HYB_GGA_XC_SB98_2C",
    "M11": "HYB_MGGA_X_M11,MGGA_C_M11",
    "BMK": "HYB_MGGA_X_BMK,GGA_C_BMK",
    "THCTH": "MGGA_X_TAU_HCTH,GGA_C_TAU_HCTH",
    "TAU_HCTH": "MGGA_X_TAU_HCTH,GGA_C_TAU_HCTH",
    "THCTHH": "HYB_MGGA_X_TAU_HCTH,GGA_C_HYB_TAU_HCTH",
    "THCTHHYB": "HYB_MGGA_X_TAU_HCTH,GGA_C_HYB_TAU_HCTH",
    "HYB_TAU_HCTH": "HYB_MGGA_X_TAU_HCTH,GGA_C_HYB_TAU_HCTH",
    "CAM_QTP01": "HYB_GGA_XC_CAM_QTP_01",
}
"""Names that others use and PySCF has no functional for; understood like `ALIASES`.

B98 is Schmider and Becke's, J. Chem. Phys. 108, 9624 (1998), eq. 2c, as in most programs; the
functional that libxc calls so depends on the Laplacian of the density."""

HOSTED = {
    "LRC_WPBE": "HYB_GGA_XC_LRC_WPBE",
    "LRC_WPBEH": "HYB_GGA_XC_LRC_WPBEH",
    "LC_VV10": "HYB_GGA_XC_LC_VV10",
    "EDF1": "GGA_XC_EDF1",
    "EDF2": "HYB_GGA_XC_EDF2",
    "HLE17": "MGGA_XC_HLE17",
    "KT1": "GGA_X_KT1,LDA_C_VWN",
    "KT2": "GGA_XC_KT2",
    "KT3": "GGA_XC_KT3",
    "M06_SX": "HYB_MGGA_X_M06_SX,MGGA_C_M06_SX",
    "M08_HX": "HYB_MGGA_X_M08_HX,MGGA_C_M08_HX",
    "M08_SO": "HYB_MGGA_X_M08_SO,MGGA_C_M08_SO",
    "M11_L": "MGGA_X_M11_L,MGGA_C_M11_L",
    "MN12_L": "MGGA_X_MN12_L,MGGA_C_MN12_L",
    "MN12_SX": "HYB_MGGA_X_MN12_SX,MGGA_C_MN12_SX",
    "MS0": "MGGA_X_MS0,GGA_C_REGTPSS",
    "MS1": "MGGA_X_MS1,GGA_C_REGTPSS",
    "MS2": "MGGA_X_MS2,GGA_C_REGTPSS",
    "MVS": "MGGA_X_MVS,GGA_C_REGTPSS",
    "PKZB": "MGGA_X_PKZB,MGGA_C_PKZB",
    "REVM06": "HYB_MGGA_X_REVM06,MGGA_C_REVM06",
    "REVM06_L": "MGGA_X_REVM06_L,MGGA_C_REVM06_L",
    "REVM11": "HYB_MGGA_X_REVM11,MGGA_C_REVM11",
    "REVSCAN": "MGGA_X_REVSCAN,MGGA_C_REVSCAN",
    "SOGGA": "GGA_X_SOGGA,GGA_C_PBE",
    "TPSS1KCIS": "HYB_MGGA_XC_TPSS1KCIS",
}
"""Whole functionals that libxc evaluates, with fixed parameters, in PySCF's words."""

HYPHENATED = (
    "SR-HF LR-HF B97-1 B97-2 B97-3 B97-K B97-D HCTH-93 HCTH-120 HCTH-147 HCTH-407 WB97X-D "
    "WB97X-V WB97M-V WB97X-D3 B97M-V M05-2X M06-L M06-HF M06-2X LRC-WPBE LRC-WPBEH LC-VV10 "
    "CAM-B3LYP LC-WPBE CAM-QTP-00 CAM-QTP-01 CAM-QTP-02 CAM-QTP01 MN15-L N12-SX SOGGA11-X TAU-HCTH "
    "M06-SX M08-HX M08-SO M11-L MN12-L MN12-SX REVM06-L"
).split()
"""Names that PySCF reads with a hyphen for the underscore; any other hyphen is a minus sign."""
