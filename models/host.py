"""The host: every parameter of the storm network with its value, unit, meaning and provenance.

Sources are of four kinds: a citation; *transcribed*, read in a third party's copy of the paper's table; *assumed* or
*tuned by hand*, a choice of the design; *fitted*, to the published means of the LPS bolus and infusion experiments.
"""

import equinox as eqx
from jaxtyping import Array, Float

from .quantity import quantity

type Scalar = Float[Array, ""]

_LPS = "fitted to LPS bolus and infusion means and the dose response from 0.3 to 4 ng/kg"


class Host(eqx.Module):
    """The parameters of the storm network. `k_fb` is the feedback gain $g$, the one that makes a storm."""

    # fmt: off
    # pathogen
    k_p_grow:   Scalar = quantity(0.0, r"k_\mathrm{p,grow}", "1/h", "pathogen growth (trigger)", source="bacterial 0.30: Reynolds 2006 (k_pg); viral 0.14: assumed")
    x_p_cap:    Scalar = quantity(100.0, r"x_\mathrm{p,cap}", "P", "carrying capacity", source="assumed")
    x_p_ext:    Scalar = quantity(0.001, r"x_\mathrm{p,ext}", "P", "extinction scale: growth is multiplied by P/(P+x_p_ext)", source="assumed")
    k_p_loc:    Scalar = quantity(0.0, r"k_\mathrm{p,loc}", "1/h", "saturable local clearance", source="form: Reynolds 2006; value assumed")
    x_p_loc:    Scalar = quantity(0.5, r"x_\mathrm{p,loc}", "P", "saturation of local clearance", source="assumed")
    k_p_m:      Scalar = quantity(0.0, r"k_\mathrm{p,m}", "1/h per unit M", "phagocyte kill", source="assumed")
    k_p_t:      Scalar = quantity(0.0, r"k_\mathrm{p,t}", "1/h per cell/uL", "T-cell kill", source="assumed")
    x_p_kill:   Scalar = quantity(50.0, r"x_\mathrm{p,kill}", "P", "saturation of cellular kill", source="assumed")
    k_p_ab:     Scalar = quantity(0.0, r"k_\mathrm{p,ab}", "1/h", "antibody kill at A2 = 1", source="assumed")
    s_e_p:      Scalar = quantity(0.0, r"s_\mathrm{e,p}", "ng/kg per P", "blood LPS-equivalent per unit burden", source="assumed")

    # endotoxin-like signal, antigen
    k_e:        Scalar = quantity(1.01, r"k_\mathrm{e}", "1/h", "removal of blood endotoxin-like signal", source="Windoloski et al. arXiv:2308.01495 (1.01; author code)")
    k_g:        Scalar = quantity(0.0, r"k_\mathrm{g}", "1/h", "antigen decay (trigger)", source="assumed")
    k_g_t:      Scalar = quantity(0.0, r"k_\mathrm{g,t}", "1/h per cell/uL", "antigen killing by T cells", source="assumed")

    # T cells
    s_t_sup:    Scalar = quantity(0.0, r"s_\mathrm{t,sup}", "cells/uL/h", "superagonist recruitment (TGN1412 only)", source="assumed")
    w_t:        Scalar = quantity(0.0, r"w_\mathrm{t}", "cells/uL", "T cells at the start (trigger)", source="assumed")
    s_t_ag:     Scalar = quantity(0.0, r"s_\mathrm{t,ag}", "cells/uL/h", "antigen-driven recruitment", source="assumed")
    k_t_exp:    Scalar = quantity(0.037, r"k_\mathrm{t,exp}", "1/h", "T expansion", source="0.037 = doubling 0.78 d, Stein 2019 (transcribed); trigger values assumed")
    x_t_cap:    Scalar = quantity(2000.0, r"x_\mathrm{t,cap}", "cells/uL", "T capacity", source="assumed")
    k_t:        Scalar = quantity(0.0067, r"k_\mathrm{t}", "1/h", "T loss", source="Stein 2019 (alpha 0.16 /d; transcribed)")
    k_t_con:    Scalar = quantity(0.02, r"k_\mathrm{t,con}", "1/h", "extra contraction without antigen", source="assumed")
    w_perf:     Scalar = quantity(1.0, r"w_\mathrm{perf}", "1", "cytotoxic competence pi (perforin axis)", source="1 healthy; 0.3 MAS, 0.03 HLH assumed")
    w_ag_p:     Scalar = quantity(1.0, r"w_\mathrm{ag,p}", "1", "antigen per unit P", source="assumed")
    x_ag:       Scalar = quantity(1.0, r"x_\mathrm{ag}", "P or G", "antigen half-saturation", source="assumed")

    # antibody arm
    k_a1:       Scalar = quantity(0.02, r"k_\mathrm{a1}", "1/h", "priming of the antibody arm", source="assumed")
    x_a1:       Scalar = quantity(1.0, r"x_\mathrm{a1}", "P", "half-saturation of priming", source="assumed")
    k_a1_dec:   Scalar = quantity(0.0015, r"k_\mathrm{a1,dec}", "1/h", "loss of primed arm (t1/2 19 d)", source="assumed")
    k_a2:       Scalar = quantity(0.0104, r"k_\mathrm{a2}", "1/h", "maturation (mean 4 d)", source="assumed")

    # activated myeloid cells
    k_m_e:      Scalar = quantity(0.07095, r"k_\mathrm{m,e}", "1/h", "activation by E", source=_LPS)
    x_m_e:      Scalar = quantity(0.01674, r"x_\mathrm{m,e}", "ng/kg", "half-saturation of E", source=_LPS)
    w_m_tnf:    Scalar = quantity(45.99, r"w_\mathrm{m,tnf}", "1", "TNF priming of E response; form published: Windoloski et al.", source=_LPS)
    x_m_tnf:    Scalar = quantity(453.5, r"x_\mathrm{m,tnf}", "pg/mL", "half-saturation of TNF priming", source=_LPS)
    k_m_ifn:    Scalar = quantity(0.2, r"k_\mathrm{m,ifn}", "1/h", "activation by IFN-gamma", source="assumed; IFN-gamma alone gives no IL-6 (J Exp Med 1989;169:2257)")
    x_m_ifn:    Scalar = quantity(400.0, r"x_\mathrm{m,ifn}", "pg/mL", "half-saturation", source="assumed")
    k_m_dam:    Scalar = quantity(0.05, r"k_\mathrm{m,dam}", "1/h", "activation by damage", source="assumed")
    k_fb:       Scalar = quantity(1.0, r"k_\mathrm{fb}", "1/h", "feedback gain g", source="assumed: 1 healthy, 1.5 at risk, 4 storm, 6 extreme; infer it")
    w_m_fl:     Scalar = quantity(0.2, r"w_\mathrm{m,fl}", "1", "fraction of activation that IL-10 cannot suppress", source="assumed")
    k_m:        Scalar = quantity(2.5, r"k_\mathrm{m}", "1/h", "deactivation", source="Windoloski et al. k_MA 2.51 (author code), rounded")
    x_m_il10:   Scalar = quantity(5.0, r"x_\mathrm{m,il10}", "pg/mL", "IL-10 brake on activation", source="fixed during fit; published x 4.35 (Windoloski et al.)")
    x_s:        Scalar = quantity(1.0, r"x_\mathrm{s}", "1", "scale of S", source="1 by definition")

    # feedback Phi
    w_fb_il6:   Scalar = quantity(0.45, r"w_\mathrm{fb,il6}", "1", "weight in Phi (weights sum to 1)", source="assumed")
    w_fb_il1:   Scalar = quantity(0.25, r"w_\mathrm{fb,il1}", "1", "weight in Phi (weights sum to 1)", source="assumed")
    w_fb_tnf:   Scalar = quantity(0.1, r"w_\mathrm{fb,tnf}", "1", "weight in Phi (weights sum to 1)", source="assumed")
    w_fb_ifn:   Scalar = quantity(0.2, r"w_\mathrm{fb,ifn}", "1", "weight in Phi (weights sum to 1)", source="assumed")
    x_fb_il6:   Scalar = quantity(400.0, r"x_\mathrm{fb,il6}", "pg/mL", "half-saturation in Phi", source="assumed")
    x_fb_il1:   Scalar = quantity(20.0, r"x_\mathrm{fb,il1}", "pg/mL eq.", "half-saturation in Phi", source="assumed")
    x_fb_tnf:   Scalar = quantity(400.0, r"x_\mathrm{fb,tnf}", "pg/mL", "half-saturation in Phi", source="assumed")
    x_fb_ifn:   Scalar = quantity(400.0, r"x_\mathrm{fb,ifn}", "pg/mL", "half-saturation in Phi", source="assumed")

    # TNF-alpha
    w_tnf:      Scalar = quantity(1.1, r"w_\mathrm{tnf}", "pg/mL", "TNF baseline", source="Janum 2016 mean 1.12")
    p_tnf:      Scalar = quantity(32150.0, r"p_\mathrm{tnf}", "pg/mL/h", "TNF production", source=_LPS)
    w_tnf_0:    Scalar = quantity(0.25, r"w_\mathrm{tnf,0}", "1", "sterile fraction of TNF production", source="keeps the critical gain at 1.71")
    x_tnf_e:    Scalar = quantity(0.06975, r"x_\mathrm{tnf,e}", "ng/kg", "E dependence of TNF production", source=_LPS)
    p_tnf_t:    Scalar = quantity(0.0, r"p_\mathrm{tnf,t}", "pg/mL/h per cell/uL", "T-cell TNF (trigger)", source="assumed")
    x_tnf_il10: Scalar = quantity(10.0, r"x_\mathrm{tnf,il10}", "pg/mL", "IL-10 brake; published 17.4 (Windoloski et al.)", source="fixed during fit; published 17.4 (Windoloski et al.)")
    k_tnf:      Scalar = quantity(4.123, r"k_\mathrm{tnf}", "1/h", "TNF removal", source=_LPS + "; published phases 8.2 and 0.85 /h (Clin Sci 1994;87:459)")

    # tissue IL-1
    p_il1:      Scalar = quantity(45.0, r"p_\mathrm{il1}", "pg/mL-eq./h", "tissue IL-1 activity production", source="fixed during fit (scale symmetry, see section 12)")
    x_il1_il10: Scalar = quantity(150.0, r"x_\mathrm{il1,il10}", "pg/mL", "IL-10 brake on IL-1", source="assumed")
    k_il1:      Scalar = quantity(0.2, r"k_\mathrm{il1}", "1/h", "loss of tissue IL-1 activity", source="assumed")

    # IL-6
    w_il6_0:    Scalar = quantity(0.02, r"w_\mathrm{il6,0}", "1", "constitutive share of IL-6 drive", source="assumed")
    w_il6_tnf:  Scalar = quantity(1.0, r"w_\mathrm{il6,tnf}", "1", "TNF share", source="1 by definition")
    w_il6_il1:  Scalar = quantity(2.5, r"w_\mathrm{il6,il1}", "1", "IL-1 share", source="assumed")
    w_il6_ifn:  Scalar = quantity(0.1, r"w_\mathrm{il6,ifn}", "1", "IFN share", source="assumed")
    w_il6_t:    Scalar = quantity(0.0, r"w_\mathrm{il6,t}", "1", "T-contact / GM-CSF share (trigger)", source="assumed; CAR-T 8 chosen so that severe CRS exceeds 3000 pg/mL")
    x_il6_t:    Scalar = quantity(100.0, r"x_\mathrm{il6,t}", "cells/uL", "half-saturation of T help", source="assumed")
    x_il6_tnf:  Scalar = quantity(160.2, r"x_\mathrm{il6,tnf}", "pg/mL", "TNF half-saturation", source=_LPS)
    x_il6_il1:  Scalar = quantity(22.0, r"x_\mathrm{il6,il1}", "pg/mL eq.", "IL-1 half-saturation", source="assumed")
    x_il6_il10: Scalar = quantity(250.0, r"x_\mathrm{il6,il10}", "pg/mL", "IL-10 brake on IL-6", source="fixed during fit (assumed)")
    k_x6:       Scalar = quantity(6.0, r"k_\mathrm{x6}", "1/h", "transcription/secretion delay", source="fixed during fit (free fits 2–13)")
    s_il6:      Scalar = quantity(1.1, r"s_\mathrm{il6}", "pg/mL/h", "basal IL-6 source", source="set so that rest IL-6 = 0.92 pg/mL (Janum 2016 1.05)")
    p_il6:      Scalar = quantity(16610.0, r"p_\mathrm{il6}", "pg/mL/h", "IL-6 production", source=_LPS)
    k_il6_np:   Scalar = quantity(0.3, r"k_\mathrm{il6,np}", "1/h", "non-receptor IL-6 clearance", source="assumed split; sum 1.2 /h from the 4–6 h decline in Janum 2016")
    k_il6_rm:   Scalar = quantity(0.9, r"k_\mathrm{il6,rm}", "1/h", "receptor-mediated IL-6 clearance", source="assumed split; sum 1.2 /h from the 4–6 h decline in Janum 2016")
    x_il6_rm:   Scalar = quantity(20000.0, r"x_\mathrm{il6,rm}", "pg/mL", "saturation of receptor clearance", source="assumed")
    k_il6_igg:  Scalar = quantity(0.0024, r"k_\mathrm{il6,igg}", "1/h", "clearance of siltuximab-bound IL-6", source="0.0584 /d (ASH 2012 abstract 1365)")

    # IFN-gamma
    s_ifn:      Scalar = quantity(1.0, r"s_\mathrm{ifn}", "pg/mL/h", "basal IFN-gamma", source="assumed")
    p_ifn:      Scalar = quantity(1.0, r"p_\mathrm{ifn}", "pg/mL/h per cell/uL", "IFN-gamma production (trigger)", source="assumed")
    w_ifn_il1:  Scalar = quantity(1.5, r"w_\mathrm{ifn,il1}", "1", "IL-1/IL-18 amplification", source="assumed")
    x_ifn_il10: Scalar = quantity(200.0, r"x_\mathrm{ifn,il10}", "pg/mL", "IL-10 brake", source="assumed")
    k_ifn:      Scalar = quantity(0.5, r"k_\mathrm{ifn}", "1/h", "IFN-gamma loss", source="assumed; published t1/2 38 min IV, 2.9 h IM (product data)")

    # IL-10
    w_il10:     Scalar = quantity(0.25, r"w_\mathrm{il10}", "pg/mL", "IL-10 baseline", source="Janum 2016 0.23")
    p_il10:     Scalar = quantity(2582.0, r"p_\mathrm{il10}", "pg/mL/h", "IL-10 production", source=_LPS)
    w_il10_0:   Scalar = quantity(0.1, r"w_\mathrm{il10,0}", "1", "IL-6-independent share", source="assumed")
    x_il10_il6: Scalar = quantity(1277.0, r"x_\mathrm{il10,il6}", "pg/mL", "IL-6 half-saturation; published 560 (Windoloski et al.)", source=_LPS
    )
    w_il10_phi: Scalar = quantity(0.3, r"w_\mathrm{il10,phi}", "1", "share of IL-6 effect that needs IL-6R signalling", source="assumed 0.3 (0: rise after tocilizumab too small; > 0.5: no clinical benefit)")
    p_il10_t:   Scalar = quantity(0.02, r"p_\mathrm{il10,t}", "pg/mL/h per cell/uL", "T-cell IL-10 (trigger)", source="assumed")
    x_il10_t:   Scalar = quantity(100.0, r"x_\mathrm{il10,t}", "cells/uL", "half-saturation of T-cell IL-10", source="only under strong stimulation: Saraiva 2009, Immunity 31:209; value assumed")
    k_il10:     Scalar = quantity(1.366, r"k_\mathrm{il10}", "1/h", "IL-10 loss", source=_LPS + "; published t1/2 1.94 h IV (Radwanski 1998), i.e. 0.36 /h, and 0.62–0.8 (Dobreva 2021)")

    # prolonged contact of T cells that cannot kill
    w_syn:      Scalar = quantity(1.5, r"w_\mathrm{syn}", "1", "more IFN-gamma and IL-10 per T cell without killing", source="hypersecretion by prolonged synapses: Jenkins 2015, J Exp Med 212:307; value assumed")

    # suppression, damage
    p_s:        Scalar = quantity(0.13, r"p_\mathrm{s}", "1/h", "suppression build-up", source="assumed; hand-tuned to storm duration")
    k_s:        Scalar = quantity(0.008, r"k_\mathrm{s}", "1/h", "suppression decay (t1/2 87 h)", source="assumed")
    p_d_cyt:    Scalar = quantity(0.06, r"p_\mathrm{d,cyt}", "1/h", "cytokine damage", source="assumed; hand-tuned")
    p_d_path:   Scalar = quantity(0.0, r"p_\mathrm{d,path}", "1/h", "pathogen damage (trigger)", source="assumed")
    x_d_path:   Scalar = quantity(50.0, r"x_\mathrm{d,path}", "P", "half-saturation", source="assumed")
    p_d_shock:  Scalar = quantity(0.01, r"p_\mathrm{d,shock}", "1/h", "hypoperfusion damage", source="assumed")
    p_d_hyp:    Scalar = quantity(0.005, r"p_\mathrm{d,hyp}", "1/h", "hypoxic damage", source="assumed")
    x_d_hyp:    Scalar = quantity(0.45, r"x_\mathrm{d,hyp}", "1", "midpoint of hypoxic damage", source="assumed")
    k_d_rep:    Scalar = quantity(0.01, r"k_\mathrm{d,rep}", "1/h", "repair", source="assumed; published mu_d 0.02 (Reynolds 2006)")

    # acute phase, temperature
    k_ap:       Scalar = quantity(0.1, r"k_\mathrm{ap}", "1/h", "hepatic transit", source="assumed")
    x_ap_il6:   Scalar = quantity(120.0, r"x_\mathrm{ap,il6}", "pg/mL", "IL-6 half-saturation for CRP", source="assumed")
    k_crp:      Scalar = quantity(0.0365, r"k_\mathrm{crp}", "1/h", "CRP loss, t1/2 19 h", source="Vigushin 1993 (quoted in later work)")
    w_crp:      Scalar = quantity(1.0, r"w_\mathrm{crp}", "mg/L", "CRP baseline", source="assumed")
    p_crp:      Scalar = quantity(350.0, r"p_\mathrm{crp}", "mg/L", "CRP ceiling above baseline", source="assumed")
    k_fer:      Scalar = quantity(0.0086, r"k_\mathrm{fer}", "1/h", "ferritin loss, t1/2 3.35 d", source="Brossard 2025 (0.207 /d; transcribed)")
    w_fer:      Scalar = quantity(100.0, r"w_\mathrm{fer}", "ng/mL", "ferritin baseline", source="assumed")
    p_fer_ap:   Scalar = quantity(1000.0, r"p_\mathrm{fer,ap}", "ng/mL", "acute-phase ferritin", source="assumed")
    p_fer_mac:  Scalar = quantity(400000.0, r"p_\mathrm{fer,mac}", "ng/mL per M", "haemophagocytic ferritin", source="assumed: chosen so that HLH exceeds 10 000 and MAS 5 000")
    w_fer_m:    Scalar = quantity(0.1, r"w_\mathrm{fer,m}", "1", "resident macrophages that IFN-gamma turns to ferritin", source="assumed, with x_fer_ifn")
    x_fer_ifn:  Scalar = quantity(600.0, r"x_\mathrm{fer,ifn}", "pg/mL", "IFN half-saturation", source="assumed, with w_fer_m, from ferritin and IFN-gamma of CD22 CAR-T patients (Lichtenstein 2021)")
    w_temp:     Scalar = quantity(36.8, r"w_\mathrm{temp}", "degC", "baseline", source="assumed")
    p_temp:     Scalar = quantity(5.6, r"p_\mathrm{temp}", "degC", "maximum rise", source="tuned by hand to the Janum 2016 peak 38.9 degC")
    k_temp:     Scalar = quantity(0.5882, r"k_\mathrm{temp}", "1/h", "1/1.7 h", source="Dobreva 2021 (1.69 h; author code)")
    x_temp_il1: Scalar = quantity(14.0, r"x_\mathrm{temp,il1}", "pg/mL eq.", "half-saturation", source="tuned by hand with p_temp")
    x_temp_il6: Scalar = quantity(850.0, r"x_\mathrm{temp,il6}", "pg/mL", "half-saturation (published 560, Dobreva 2021)", source="assumed")
    x_temp_tnf: Scalar = quantity(185.0, r"x_\mathrm{temp,tnf}", "pg/mL", "half-saturation", source="Dobreva 2021 (185; author code)")

    # drug effects on the host
    e_gr_m:     Scalar = quantity(0.7, r"e_\mathrm{gr,m}", "1", "steroid effect on activation", source="assumed")
    e_gr_cyt:   Scalar = quantity(0.7, r"e_\mathrm{gr,cyt}", "1", "steroid effect on production (TNF, IL-1, IL-6, IFN)", source="assumed")
    e_gr_t:     Scalar = quantity(0.4, r"e_\mathrm{gr,t}", "1", "steroid effect on T expansion", source="assumed; Stein 2019 found none for CAR-T (factor 1.0)")
    k_gr_t:     Scalar = quantity(0.004, r"k_\mathrm{gr,t}", "1/h", "steroid-induced T loss", source="assumed")
    e_gr_temp:  Scalar = quantity(0.4, r"e_\mathrm{gr,temp}", "1", "antipyretic effect", source="assumed")
    e_jak_t:    Scalar = quantity(0.4, r"e_\mathrm{jak,t}", "1", "JAK effect on T expansion", source="assumed")
    e_jak_il10: Scalar = quantity(0.5, r"e_\mathrm{jak,il10}", "1", "JAK effect on IL-10 signalling", source="assumed")

    # circulation and lung
    w_map:      Scalar = quantity(90.0, r"w_\mathrm{map}", "mmHg", "baseline MAP", source="assumed")
    w_map_cyt:  Scalar = quantity(0.4, r"w_\mathrm{map,cyt}", "1", "cytokine vasodilation", source="assumed")
    w_map_dam:  Scalar = quantity(0.3, r"w_\mathrm{map,dam}", "1", "damage effect", source="assumed")
    e_fluid:    Scalar = quantity(8.0, r"e_\mathrm{fluid}", "mmHg", "fluid response", source="assumed")
    e_pressor:  Scalar = quantity(25.0, r"e_\mathrm{pressor}", "mmHg", "vasopressor response", source="assumed")
    e_oxygen:   Scalar = quantity(0.6, r"e_\mathrm{oxygen}", "1", "removal of hypoxic damage by oxygen", source="assumed")
    w_pf:       Scalar = quantity(450.0, r"w_\mathrm{pf}", "mmHg", "baseline P/F", source="assumed")
    w_pf_dam:   Scalar = quantity(0.8, r"w_\mathrm{pf,dam}", "1", "P/F loss at D = 1", source="assumed")
    # tocilizumab at an hour that nobody recorded
    a_tcz:      Scalar = quantity(0.0, r"a_\mathrm{tcz}", "mg/kg", "tocilizumab given at an unrecorded hour", source="a dose: none unless it is given")
    t_tcz:      Scalar = quantity(200.0, r"t_\mathrm{tcz}", "h", "hour around which it is given", source="assumed; to be sampled")

    weight:     Scalar = quantity(70.0, r"W", "kg", "body weight, which scales volumes and clearances of drugs", source="convention")
    # fmt: on
