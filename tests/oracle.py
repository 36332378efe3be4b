"""The storm network once more, independent of the product: SciPy's LSODA at high accuracy, every drug an ODE.

Written from the design's equations, compiled by numba. The only thing taken from the product is the table of values.
"""

import dataclasses
import itertools
from math import exp, log

import numba
import numpy as np
from scipy.integrate import LSODA

# Compartments of drugs behind the 19 quantities and the steroid effect: amounts in mg, or in standard doses.
DRUGS = [
    "tocilizumab",
    *("sarilumab_sc", "sarilumab", "sarilumab_peripheral"),
    *("siltuximab", "siltuximab_peripheral"),
    *("anakinra", "anakinra_sc"),
    *("dexamethasone", "dexamethasone_peripheral"),
    *("methylprednisolone", "hydrocortisone"),
    *("baricitinib", "baricitinib_peripheral"),
    *("ruxolitinib", "ruxolitinib_po"),
    *("emapalumab", "emapalumab_peripheral"),
    *("antiviral", "antibiotic", "fluid", "pressor", "oxygen"),
]
SIZE = 20 + len(DRUGS)


@numba.njit(cache=True)
def h1(x, k):
    return x / (k + x)


@numba.njit(cache=True)
def h2(x, k):
    return x * x / (k * k + x * x)


@numba.njit(cache=True)
def h3(x, k):
    return x**3 / (k**3 + x**3)


@numba.njit(cache=True)
def sig(u):
    return 1 / (1 + exp(-u))


@numba.njit(cache=True)
def drugs(a, d, h):
    """Elimination and exchange; returns what the drugs do to the host."""
    s = h.weight / 70
    f = s**0.75
    tcz, dep, sar, per = a[0] / (4.34 * s), a[1], a[2] / (1.66 * s), a[3] / (4.18 * s)
    d[0] = -f * (0.725 * tcz + 4.19 * tcz / (0.22 + tcz)) / 24
    d[1] = -0.136 / 24 * dep
    d[2] = (0.136 * dep - f * (0.208 * sar + 6.45 * sar / (0.939 + sar) + 0.125 * (sar - per))) / 24
    d[3] = f * 0.125 * (sar - per) / 24
    sil, silp = a[4] / (3.66 * s), a[5] / (3.13 * s)
    d[4] = -f * (0.214 * sil + 0.624 * (sil - silp)) / 24
    d[5] = f * 0.624 * (sil - silp) / 24
    ana = a[6] / (61.94 * s)
    d[6] = 0.38 * a[7] - f * 5.928 * ana
    d[7] = -0.38 * a[7]
    dex, dexp = a[8] / (15.4 * s), a[9] / (12.3 * s)
    d[8] = -f * (2.85 * dex + 2.1 * (dex - dexp))
    d[9] = f * 2.1 * (dex - dexp)
    mpl, hc = a[10] / (81.9 * s), a[11] / (34.0 * s)
    d[10] = -f * 23.5 * mpl
    d[11] = -f * 18.0 * hc
    bari, barip = a[12] / (92.6 * s), a[13] / (25.6 * s)
    d[12] = -f * (9.7 * bari + 2.67 * (bari - barip))
    d[13] = f * 2.67 * (bari - barip)
    rux = a[14] / (75.0 * s)
    d[14] = 4.0 * a[15] - f * 20.0 * rux
    d[15] = -4.0 * a[15]
    ema, emap = a[16] / (3.08 * s), a[17] / (4.28 * s)
    d[16] = -f * (0.0143 * ema + 0.105 * (ema - emap))
    d[17] = f * 0.105 * (ema - emap)
    d[18] = -log(2.0) / 20 * a[18]
    d[19] = -log(2.0) / 4 * a[19]
    q = tcz * 1000 / 148 / 2.5 + sar * 1000 / 150 / 0.1
    gr = dex / 0.0039 + mpl / 0.014 + hc / 0.104
    jak = bari / 0.0386 + rux / 0.0864
    return (
        q / (1 + q),
        sil / (sil + 0.0145),
        ana / (ana + 0.2),
        jak / (1 + jak),
        0.8 * gr / (1 + gr),
        ema / (ema + 0.0248),
        0.95 * a[18] / (a[18] + 0.25),
        0.6 * a[19] / (a[19] + 0.5),
    )


@numba.njit(cache=True)
def rhs(t, y, table, inflow):
    h = table[0]
    d = np.zeros_like(y)
    rho, nu, al, j, goal, n, av, abx = drugs(y[20:], d[20:], h)
    fluid, pressor, oxygen = y[40], y[41], y[42]
    P, E, G, T, A1, A2, M = y[0], y[1], y[2], y[3], y[4], y[5], y[6]
    F, I1, X, I6, IG, I10, S, D, AP = y[7], y[8], y[9], y[10], y[11], y[12], y[13], y[14], y[15]
    c = y[19]
    r, f6 = (1 - rho) * (1 - j), (1 - nu) * I6
    s6, s1, sf = r * h2(f6, h.x_fb_il6), h2((1 - al) * I1, h.x_fb_il1), h2(F, h.x_fb_tnf)
    sg, sgm = (1 - j) * h2((1 - n) * IG, h.x_fb_ifn), (1 - j) * h2((1 - n) * IG, h.x_m_ifn)
    phi = h.w_fb_il6 * s6 + h.w_fb_il1 * s1 + h.w_fb_tnf * sf + h.w_fb_ifn * sg
    l10 = I10 * (1 - h.e_jak_il10 * j)
    bs = 1 / (1 + S / h.x_s)
    brake = bs * (h.w_m_fl + (1 - h.w_m_fl) / (1 + l10 / h.x_m_il10))
    load = h.w_ag_p * P + G
    ant = load / (h.x_ag + load)
    gm, gc = 1 - h.e_gr_m * c, 1 - h.e_gr_cyt * c
    tox = 0.3 * sf + 0.25 * s1 + 0.25 * s6 + 0.2 * sg
    pressure = h.w_map * (1 - h.w_map_cyt * (0.4 * sf + 0.35 * s1 + 0.25 * s6) - h.w_map_dam * D)
    pressure += h.e_fluid * fluid * sig((75 - pressure) / 5) + h.e_pressor * pressor * sig((70 - pressure) / 5)

    grow = h.k_p_grow * (1 - av) * (1 - P / h.x_p_cap) * P / (P + h.x_p_ext) - h.k_p_loc / (1 + P / h.x_p_loc)
    kill = (h.k_p_m * M * bs + h.k_p_t * h.w_perf * T) / (1 + P / h.x_p_kill) + h.k_p_ab * h.w_perf * A2 * A2 + abx
    d[0] = P * (grow - kill)
    d[1] = h.k_e * (h.s_e_p * P - E)
    d[2] = -(h.k_g + h.k_g_t * h.w_perf * T) * G
    expand = h.k_t_exp * ant * T * (1 - T / h.x_t_cap) * (1 - h.e_gr_t * c) * (1 - h.e_jak_t * j)
    d[3] = h.s_t_sup * G + h.s_t_ag * ant + expand - (h.k_t + h.k_t_con * h.w_perf * (1 - ant) + h.k_gr_t * c) * T
    d[4] = h.k_a1 * P / (P + h.x_a1) * (1 - A1) - h.k_a1_dec * A1
    d[5] = h.k_a2 * (A1 - A2)
    lps = h.k_m_e * h1(E, h.x_m_e) * (1 + h.w_m_tnf * h3(F, h.x_m_tnf))
    d[6] = (lps + h.k_m_ifn * sgm + h.k_m_dam * D + h.k_fb * phi) * gm * brake * (1 - M) - h.k_m * M
    made = h.p_tnf * M * (h.w_tnf_0 + (1 - h.w_tnf_0) * E / (E + h.x_tnf_e)) * bs / (1 + l10 / h.x_tnf_il10)
    d[7] = (made + h.p_tnf_t * T * ant) * gc - h.k_tnf * (F - h.w_tnf)
    d[8] = h.p_il1 * M * gc / (1 + l10 / h.x_il1_il10) - h.k_il1 * I1
    q = h.w_il6_0 + h.w_il6_tnf * h2(F, h.x_il6_tnf) + h.w_il6_il1 * h3((1 - al) * I1, h.x_il6_il1) + h.w_il6_ifn * sgm
    q += h.w_il6_t * T * ant / (h.x_il6_t + T * ant)
    d[9] = h.k_x6 * (M * q * gc / (1 + l10 / h.x_il6_il10) - X)
    clear = (h.k_il6_np + h.k_il6_rm * (1 - rho) / (1 + f6 / h.x_il6_rm)) * f6 + h.k_il6_igg * nu * I6
    d[10] = h.s_il6 + h.p_il6 * X - clear
    held = 1 + h.w_syn * (1 - h.w_perf)  # longer synapses where killing fails
    d[11] = h.s_ifn + held * h.p_ifn * T * ant * (1 + h.w_ifn_il1 * s1) * gc / (1 + l10 / h.x_ifn_il10) - h.k_ifn * IG
    signal = h.w_il10_0 + (1 - h.w_il10_phi + h.w_il10_phi * r) * h2(f6, h.x_il10_il6)
    d[12] = h.p_il10 * M * signal + held * h.p_il10_t * T * ant * h1(T * ant, h.x_il10_t) - h.k_il10 * (I10 - h.w_il10)
    d[13] = h.p_s * M - h.k_s * S
    hurt = h.p_d_cyt * tox * tox + h.p_d_path * P / (P + h.x_d_path) + h.p_d_shock * sig((62 - pressure) / 4)
    hurt += h.p_d_hyp * (1 - h.e_oxygen * oxygen) * sig((D - h.x_d_hyp) / 0.06)
    d[14] = (1 - D) * hurt - h.k_d_rep * D * (1 - tox)
    d[15] = h.k_ap * (r * f6 / (f6 + h.x_ap_il6) - AP)
    d[16] = h.k_crp * (h.w_crp + h.p_crp * AP - y[16])
    iron = h.p_fer_mac * (M + h.w_fer_m) * h2((1 - n) * IG, h.x_fer_ifn)
    d[17] = h.k_fer * (h.w_fer + h.p_fer_ap * AP + iron - y[17])
    heat = 0.7 * h1((1 - al) * I1, h.x_temp_il1) + 0.7 * r * h1(f6, h.x_temp_il6) + 0.3 * h1(F, h.x_temp_tnf)
    d[18] = h.k_temp * (h.w_temp + h.p_temp * (1 - h.e_gr_temp * c) * (1 - exp(-heat)) - y[18])
    d[19] = log(2.0) / 3 * (goal - c)
    return d + inflow


def table(model):
    """The values of the host as one numba record."""
    names = [field.name for field in dataclasses.fields(model)]
    record = np.zeros(1, dtype=[(name, float) for name in names])
    for name in names:
        record[name] = float(getattr(model, name))
    return record


def trajectory(model, story, times, rtol=1e-10, method=LSODA):
    """The 20 quantities at sorted `times`: integrated from edge to edge; a reading at a dose is before it."""
    names = [state.name for state in model.states][:20] + DRUGS
    scale = np.ones(SIZE)
    scale[:20] = [state.scale for state in model.states][:20]
    y = np.zeros(SIZE)
    y[: len(model.states)] = np.asarray(story.initial_state(model))
    values, doses = table(model), story.doses
    given = list(zip(doses.target, *(np.asarray(x) for x in (doses.time, doses.amount, doses.duration)), strict=True))
    edges = np.unique([0.0, *doses.edges[doses.edges < times[-1]], times[-1]])
    out = np.empty((len(times), 20))
    out[times == 0] = y[:20]
    for start, end in itertools.pairwise(edges):
        inflow = np.zeros(SIZE)
        for target, time, amount, duration in given:
            at = names.index(target)
            if target in ("fluid", "pressor", "oxygen"):  # a level, not an amount
                y[at] = amount / duration if time <= start < time + duration else y[at] * (start != time + duration)
            elif duration == 0 and time == start:
                y[at] += amount
            elif time <= start < time + duration:
                inflow[at] += amount / duration
        solver = method(lambda t, y, p=values, i=inflow: rhs(t, y, p, i), start, y, end, rtol=rtol, atol=rtol * 1e-2 * scale)
        while solver.status == "running":
            if message := solver.step():
                raise RuntimeError(message)
            inside = (solver.t_old < times) & (times <= solver.t)
            if inside.any():
                out[inside] = solver.dense_output()(times[inside])[:20].T
        y = solver.y.copy()
    return out
