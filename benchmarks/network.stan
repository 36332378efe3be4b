// The storm network with single readings: the posterior of `cytostorm fit experiment=network_cart`, once more in Stan.
// What a number is: models/host.py; the equations: models/network.py; what the data are: benchmarks/export.py.
//
// Linear drugs and supportive care, of which this patient gets none, are left out (our compiled program has no trace of
// them either). For Stan's sake: fixed parameters are data and cost no sensitivities; only the six sampled ones do. The
// five states whose start depends on a sampled parameter are integrated as differences from that start, so that initial
// values are data too: otherwise Stan would carry 24 more sensitivities.
functions {
  real H1(real x, data real k) {
    return x / (k + x);
  }
  real H2(real x, data real k) {
    return square(x) / (square(k) + square(x));
  }
  real H3(real x, data real k) {
    return x ^ 3 / (k ^ 3 + x ^ 3);
  }

  // IL-6, acute phase, CRP, ferritin and temperature at rest (models/network.py, rest).
  array[] real rest(real k_il6_np, real k_il6_rm, real p_crp, data real s_il6, data real x_ap_il6, data real w_crp,
                    data real w_fer, data real p_fer_ap, data real w_temp, data real p_temp, data real x_temp_il6,
                    data real x_temp_tnf, data real w_tnf) {
    real IL6 = s_il6 / (k_il6_np + k_il6_rm);
    real AP = IL6 / (IL6 + x_ap_il6);
    real fx = 0.7 * H1(IL6, x_temp_il6) + 0.3 * w_tnf / (x_temp_tnf + w_tnf);
    return {IL6, AP, w_crp + p_crp * AP, w_fer + p_fer_ap * AP, w_temp + p_temp * (1 - exp(-fx))};
  }

  // The equations (models/network.py, vector_field); y is in units of `scale`, so that one absolute tolerance serves all.
  vector field(real t, vector y, real k_fb, real k_il6_np, real k_il6_rm, real p_il6, real p_s, real p_crp,
               data array[] real on, data array[] real off, data array[] vector inflow, data vector scale,
               data real k_p_grow, data real x_p_cap, data real x_p_ext, data real k_p_loc, data real x_p_loc,
               data real k_p_m, data real k_p_t, data real x_p_kill, data real k_p_ab, data real s_e_p,
               data real k_e, data real k_g, data real k_g_t, data real s_t_sup, data real s_t_ag, data real k_t_exp,
               data real x_t_cap, data real k_t, data real k_t_con, data real w_perf, data real w_ag_p,
               data real x_ag, data real k_a1, data real x_a1, data real k_a1_dec, data real k_a2, data real k_m_e,
               data real x_m_e, data real w_m_tnf, data real x_m_tnf, data real k_m_ifn, data real x_m_ifn,
               data real k_m_dam, data real w_m_fl, data real k_m, data real x_m_il10, data real x_s,
               data real w_fb_il6, data real w_fb_il1, data real w_fb_tnf, data real w_fb_ifn, data real x_fb_il6,
               data real x_fb_il1, data real x_fb_tnf, data real x_fb_ifn, data real w_tnf, data real p_tnf,
               data real w_tnf_0, data real x_tnf_e, data real p_tnf_t, data real x_tnf_il10, data real k_tnf,
               data real p_il1, data real x_il1_il10, data real k_il1, data real w_il6_0, data real w_il6_tnf,
               data real w_il6_il1, data real w_il6_ifn, data real w_il6_t, data real x_il6_t, data real x_il6_tnf,
               data real x_il6_il1, data real x_il6_il10, data real k_x6, data real s_il6, data real x_il6_rm,
               data real s_ifn, data real p_ifn, data real w_ifn_il1, data real x_ifn_il10, data real k_ifn,
               data real w_il10, data real p_il10, data real w_il10_0, data real x_il10_il6, data real w_il10_phi,
               data real p_il10_t, data real x_il10_t, data real k_il10, data real w_syn, data real k_s,
               data real p_d_cyt, data real p_d_path, data real x_d_path, data real p_d_shock, data real p_d_hyp,
               data real x_d_hyp, data real k_d_rep, data real k_ap, data real x_ap_il6, data real k_crp,
               data real w_crp, data real k_fer, data real w_fer, data real p_fer_ap, data real p_fer_mac,
               data real w_fer_m, data real x_fer_ifn, data real w_temp, data real p_temp, data real k_temp,
               data real x_temp_il1, data real x_temp_il6, data real x_temp_tnf, data real e_gr_m,
               data real e_gr_cyt, data real e_gr_t, data real k_gr_t, data real e_gr_temp, data real w_map,
               data real w_map_cyt, data real w_map_dam, data real weight) {
    vector[24] x = y .* scale;
    array[5] real x0 = rest(k_il6_np, k_il6_rm, p_crp, s_il6, x_ap_il6, w_crp, w_fer, p_fer_ap, w_temp, p_temp, x_temp_il6,
                            x_temp_tnf, w_tnf);
    real P = x[1];
    real E = x[2];
    real G = x[3];
    real T = x[4];
    real A1 = x[5];
    real A2 = x[6];
    real M = x[7];
    real TNF = x[8];
    real IL1 = x[9];
    real X6 = x[10];
    real IL6 = x[11] + x0[1];
    real IFN = x[12];
    real IL10 = x[13];
    real S = x[14];
    real D = x[15];
    real AP = x[16] + x0[2];
    real CRP = x[17] + x0[3];
    real FER = x[18] + x0[4];
    real TEMP = x[19] + x0[5];
    real c = x[20];
    real A_t = x[21];
    real A_d = x[22];
    real A_s = x[23];
    real A_p = x[24];

    // Drugs: occupancy of the IL-6 receptor by its antibodies (models/effects.py; molar mass [kDa], K_D [nM]).
    real size70 = weight / 70;
    real flow = pow(size70, 0.75);
    real tcz = A_t / (4.34 * size70);
    real sar = A_s / (1.66 * size70);
    real sarp = A_p / (4.18 * size70);
    real bound = tcz * (1e3 / (148.0 * 2.5)) + sar * (1e3 / (150.0 * 0.1));
    real rho = bound / (1 + bound);

    // Signals
    real r = 1 - rho;
    real s6 = r * H2(IL6, x_fb_il6);
    real s1 = H2(IL1, x_fb_il1);
    real sF = H2(TNF, x_fb_tnf);
    real sG = H2(IFN, x_fb_ifn);
    real sGm = H2(IFN, x_m_ifn);
    real Phi = w_fb_il6 * s6 + w_fb_il1 * s1 + w_fb_tnf * sF + w_fb_ifn * sG;
    real bS = 1 / (1 + S / x_s);
    real B = bS * (w_m_fl + (1 - w_m_fl) / (1 + IL10 / x_m_il10));
    real load = w_ag_p * P + G;
    real ant = load / (x_ag + load);
    real gm = 1 - e_gr_m * c;
    real gc = 1 - e_gr_cyt * c;
    real TG = T * ant;
    real tox = 0.30 * sF + 0.25 * s1 + 0.25 * s6 + 0.20 * sG;
    real MAP = w_map * (1 - w_map_cyt * (0.4 * sF + 0.35 * s1 + 0.25 * s6) - w_map_dam * D);

    // Triggers and adaptive immunity
    real dP = P * (k_p_grow * (1 - P / x_p_cap) * P / (P + x_p_ext)
                   - k_p_loc / (1 + P / x_p_loc)
                   - (k_p_m * M * bS + k_p_t * w_perf * T) / (1 + P / x_p_kill)
                   - k_p_ab * w_perf * square(A2));
    real dE = k_e * (s_e_p * P - E);
    real dG = -k_g * G - k_g_t * w_perf * T * G;
    real dT = s_t_sup * G + s_t_ag * ant
              + k_t_exp * TG * (1 - T / x_t_cap) * (1 - e_gr_t * c)
              - (k_t + k_t_con * w_perf * (1 - ant) + k_gr_t * c) * T;
    real dA1 = k_a1 * P / (P + x_a1) * (1 - A1) - k_a1_dec * A1;
    real dA2 = k_a2 * (A1 - A2);

    // Myeloid activation and cytokines
    real dM = (k_m_e * H1(E, x_m_e) * (1 + w_m_tnf * H3(TNF, x_m_tnf))
               + k_m_ifn * sGm + k_m_dam * D + k_fb * Phi) * gm * B * (1 - M) - k_m * M;
    real dTNF = (p_tnf * M * (w_tnf_0 + (1 - w_tnf_0) * E / (E + x_tnf_e)) * bS / (1 + IL10 / x_tnf_il10)
                 + p_tnf_t * TG) * gc - k_tnf * (TNF - w_tnf);
    real dIL1 = p_il1 * M * gc / (1 + IL10 / x_il1_il10) - k_il1 * IL1;
    real q = w_il6_0 + w_il6_tnf * H2(TNF, x_il6_tnf) + w_il6_il1 * H3(IL1, x_il6_il1) + w_il6_ifn * sGm
             + w_il6_t * TG / (x_il6_t + TG);
    real dX6 = k_x6 * (M * q * gc / (1 + IL10 / x_il6_il10) - X6);
    real dIL6 = s_il6 + p_il6 * X6 - (k_il6_np + k_il6_rm * r / (1 + IL6 / x_il6_rm)) * IL6;
    real dIFN = s_ifn + (p_ifn * (1 + w_syn * (1 - w_perf))) * TG * (1 + w_ifn_il1 * s1) * gc / (1 + IL10 / x_ifn_il10)
                - k_ifn * IFN;
    real dIL10 = p_il10 * M * (w_il10_0 + (1 - w_il10_phi + w_il10_phi * r) * H2(IL6, x_il10_il6))
                 + (p_il10_t * (1 + w_syn * (1 - w_perf))) * square(TG) / (x_il10_t + TG) - k_il10 * (IL10 - w_il10);

    // Slow consequences and read-outs
    real dS = p_s * M - k_s * S;
    real dD = (1 - D) * (p_d_cyt * square(tox) + p_d_path * P / (P + x_d_path)
                         + p_d_shock * inv_logit((62 - MAP) / 4) + p_d_hyp * inv_logit((D - x_d_hyp) / 0.06))
              - k_d_rep * D * (1 - tox);
    real dAP = k_ap * (r * IL6 / (IL6 + x_ap_il6) - AP);
    real dCRP = k_crp * (w_crp + p_crp * AP - CRP);
    real dFER = k_fer * (w_fer + p_fer_ap * AP + p_fer_mac * (w_fer_m + M) * H2(IFN, x_fer_ifn) - FER);
    real fx = 0.7 * H1(IL1, x_temp_il1) + 0.7 * r * H1(IL6, x_temp_il6) + 0.3 * H1(TNF, x_temp_tnf);
    real dTEMP = k_temp * (w_temp + p_temp * (1 - e_gr_temp * c) * (1 - exp(-fx)) - TEMP);
    real dc = -log2() / 3.0 * c;

    // Antibodies: tocilizumab (Moes 2022), sarilumab (Xu 2019), as models/network.py has them.
    real dA_t = -flow * (0.725 / 24 * tcz + 4.19 / 24 * tcz / (0.22 + tcz));
    real dA_d = -0.136 / 24 * A_d;
    real dA_p = flow * (0.125 / 24) * (sar - sarp);
    real dA_s = 0.136 / 24 * A_d - flow * (0.208 / 24 * sar + 6.45 / 24 * sar / (0.939 + sar)) - dA_p;

    vector[24] dx = [dP, dE, dG, dT, dA1, dA2, dM, dTNF, dIL1, dX6, dIL6, dIFN, dIL10, dS, dD, dAP, dCRP, dFER, dTEMP, dc,
            dA_t, dA_d, dA_s, dA_p]' ./ scale;
    for (i in 1 : size(on)) {
      if (on[i] < t && t <= off[i]) {
        dx += inflow[i];
      }
    }
    return dx;
  }
  array[] vector solve(data int method, vector y, data real t, data array[] real times, data real rtol, data real atol,
                       data int max_steps, real k_fb, real k_il6_np, real k_il6_rm, real p_il6, real p_s, real p_crp,
                       data array[] real on, data array[] real off, data array[] vector inflow, data vector scale,
                       data real k_p_grow, data real x_p_cap, data real x_p_ext, data real k_p_loc,
                       data real x_p_loc, data real k_p_m, data real k_p_t, data real x_p_kill, data real k_p_ab,
                       data real s_e_p, data real k_e, data real k_g, data real k_g_t, data real s_t_sup,
                       data real s_t_ag, data real k_t_exp, data real x_t_cap, data real k_t, data real k_t_con,
                       data real w_perf, data real w_ag_p, data real x_ag, data real k_a1, data real x_a1,
                       data real k_a1_dec, data real k_a2, data real k_m_e, data real x_m_e, data real w_m_tnf,
                       data real x_m_tnf, data real k_m_ifn, data real x_m_ifn, data real k_m_dam, data real w_m_fl,
                       data real k_m, data real x_m_il10, data real x_s, data real w_fb_il6, data real w_fb_il1,
                       data real w_fb_tnf, data real w_fb_ifn, data real x_fb_il6, data real x_fb_il1,
                       data real x_fb_tnf, data real x_fb_ifn, data real w_tnf, data real p_tnf, data real w_tnf_0,
                       data real x_tnf_e, data real p_tnf_t, data real x_tnf_il10, data real k_tnf, data real p_il1,
                       data real x_il1_il10, data real k_il1, data real w_il6_0, data real w_il6_tnf,
                       data real w_il6_il1, data real w_il6_ifn, data real w_il6_t, data real x_il6_t,
                       data real x_il6_tnf, data real x_il6_il1, data real x_il6_il10, data real k_x6,
                       data real s_il6, data real x_il6_rm, data real s_ifn, data real p_ifn, data real w_ifn_il1,
                       data real x_ifn_il10, data real k_ifn, data real w_il10, data real p_il10, data real w_il10_0,
                       data real x_il10_il6, data real w_il10_phi, data real p_il10_t, data real x_il10_t,
                       data real k_il10, data real w_syn, data real k_s, data real p_d_cyt, data real p_d_path,
                       data real x_d_path, data real p_d_shock, data real p_d_hyp, data real x_d_hyp,
                       data real k_d_rep, data real k_ap, data real x_ap_il6, data real k_crp, data real w_crp,
                       data real k_fer, data real w_fer, data real p_fer_ap, data real p_fer_mac, data real w_fer_m,
                       data real x_fer_ifn, data real w_temp, data real p_temp, data real k_temp,
                       data real x_temp_il1, data real x_temp_il6, data real x_temp_tnf, data real e_gr_m,
                       data real e_gr_cyt, data real e_gr_t, data real k_gr_t, data real e_gr_temp, data real w_map,
                       data real w_map_cyt, data real w_map_dam, data real weight) {
    if (method == 0) {
      return ode_rk45_tol(field, y, t, times, rtol, atol, max_steps,
          k_fb, k_il6_np, k_il6_rm, p_il6, p_s, p_crp, on, off, inflow, scale, k_p_grow, x_p_cap, x_p_ext, k_p_loc,
          x_p_loc, k_p_m, k_p_t, x_p_kill, k_p_ab, s_e_p, k_e, k_g, k_g_t, s_t_sup, s_t_ag, k_t_exp, x_t_cap, k_t,
          k_t_con, w_perf, w_ag_p, x_ag, k_a1, x_a1, k_a1_dec, k_a2, k_m_e, x_m_e, w_m_tnf, x_m_tnf, k_m_ifn, x_m_ifn,
          k_m_dam, w_m_fl, k_m, x_m_il10, x_s, w_fb_il6, w_fb_il1, w_fb_tnf, w_fb_ifn, x_fb_il6, x_fb_il1, x_fb_tnf,
          x_fb_ifn, w_tnf, p_tnf, w_tnf_0, x_tnf_e, p_tnf_t, x_tnf_il10, k_tnf, p_il1, x_il1_il10, k_il1, w_il6_0,
          w_il6_tnf, w_il6_il1, w_il6_ifn, w_il6_t, x_il6_t, x_il6_tnf, x_il6_il1, x_il6_il10, k_x6, s_il6, x_il6_rm,
          s_ifn, p_ifn, w_ifn_il1, x_ifn_il10, k_ifn, w_il10, p_il10, w_il10_0, x_il10_il6, w_il10_phi, p_il10_t,
          x_il10_t, k_il10, w_syn, k_s, p_d_cyt, p_d_path, x_d_path, p_d_shock, p_d_hyp, x_d_hyp, k_d_rep, k_ap,
          x_ap_il6, k_crp, w_crp, k_fer, w_fer, p_fer_ap, p_fer_mac, w_fer_m, x_fer_ifn, w_temp, p_temp, k_temp,
          x_temp_il1, x_temp_il6, x_temp_tnf, e_gr_m, e_gr_cyt, e_gr_t, k_gr_t, e_gr_temp, w_map, w_map_cyt, w_map_dam,
          weight);
    }
    return ode_bdf_tol(field, y, t, times, rtol, atol, max_steps,
          k_fb, k_il6_np, k_il6_rm, p_il6, p_s, p_crp, on, off, inflow, scale, k_p_grow, x_p_cap, x_p_ext, k_p_loc,
          x_p_loc, k_p_m, k_p_t, x_p_kill, k_p_ab, s_e_p, k_e, k_g, k_g_t, s_t_sup, s_t_ag, k_t_exp, x_t_cap, k_t,
          k_t_con, w_perf, w_ag_p, x_ag, k_a1, x_a1, k_a1_dec, k_a2, k_m_e, x_m_e, w_m_tnf, x_m_tnf, k_m_ifn, x_m_ifn,
          k_m_dam, w_m_fl, k_m, x_m_il10, x_s, w_fb_il6, w_fb_il1, w_fb_tnf, w_fb_ifn, x_fb_il6, x_fb_il1, x_fb_tnf,
          x_fb_ifn, w_tnf, p_tnf, w_tnf_0, x_tnf_e, p_tnf_t, x_tnf_il10, k_tnf, p_il1, x_il1_il10, k_il1, w_il6_0,
          w_il6_tnf, w_il6_il1, w_il6_ifn, w_il6_t, x_il6_t, x_il6_tnf, x_il6_il1, x_il6_il10, k_x6, s_il6, x_il6_rm,
          s_ifn, p_ifn, w_ifn_il1, x_ifn_il10, k_ifn, w_il10, p_il10, w_il10_0, x_il10_il6, w_il10_phi, p_il10_t,
          x_il10_t, k_il10, w_syn, k_s, p_d_cyt, p_d_path, x_d_path, p_d_shock, p_d_hyp, x_d_hyp, k_d_rep, k_ap,
          x_ap_il6, k_crp, w_crp, k_fer, w_fer, p_fer_ap, p_fer_mac, w_fer_m, x_fer_ifn, w_temp, p_temp, k_temp,
          x_temp_il1, x_temp_il6, x_temp_tnf, e_gr_m, e_gr_cyt, e_gr_t, k_gr_t, e_gr_temp, w_map, w_map_cyt, w_map_dam,
          weight);
  }
}
data {
  int<lower=0, upper=1> method;            // 0: Dormand-Prince 5(4), explicit; 1: backward differentiation, implicit
  real<lower=0> rtol;
  real<lower=0> atol;                      // in units of `scale`
  int<lower=1> max_steps;                  // between two times
  vector<lower=0>[24] scale;               // natural scale of each state
  vector[24] initial;                      // in units of `scale`; of the five states above, the difference from rest
  int<lower=0> num_infusions;
  array[num_infusions] real on;
  array[num_infusions] real off;
  array[num_infusions] vector[24] inflow;  // per hour, in units of `scale`
  int<lower=1> num_segments;               // from dose time to dose time
  array[num_segments] real start;
  array[num_segments] vector[24] jump;     // boluses, added at the start of each, in units of `scale`
  array[num_segments] int first;           // its stretch of `times`
  array[num_segments] int last;
  int<lower=1> num_times;
  array[num_times] real times;             // every segment's reading times, and its end
  int<lower=1> num_readings;
  array[num_readings] int<lower=0> at;     // the time of each reading; 0 is the initial state
  array[num_readings] int<lower=1> state;  // what it reads
  vector<lower=0>[num_readings] value;
  vector[7] prior_log_median;
  vector<lower=0>[7] prior_log_sd;
  matrix[7, 7] basis;                   // identity, or the root of a covariance: a dense metric
  // models/host.py, with what the trigger changes
  real k_p_grow;
  real x_p_cap;
  real x_p_ext;
  real k_p_loc;
  real x_p_loc;
  real k_p_m;
  real k_p_t;
  real x_p_kill;
  real k_p_ab;
  real s_e_p;
  real k_e;
  real k_g;
  real k_g_t;
  real s_t_sup;
  real s_t_ag;
  real k_t_exp;
  real x_t_cap;
  real k_t;
  real k_t_con;
  real w_perf;
  real w_ag_p;
  real x_ag;
  real k_a1;
  real x_a1;
  real k_a1_dec;
  real k_a2;
  real k_m_e;
  real x_m_e;
  real w_m_tnf;
  real x_m_tnf;
  real k_m_ifn;
  real x_m_ifn;
  real k_m_dam;
  real w_m_fl;
  real k_m;
  real x_m_il10;
  real x_s;
  real w_fb_il6;
  real w_fb_il1;
  real w_fb_tnf;
  real w_fb_ifn;
  real x_fb_il6;
  real x_fb_il1;
  real x_fb_tnf;
  real x_fb_ifn;
  real w_tnf;
  real p_tnf;
  real w_tnf_0;
  real x_tnf_e;
  real p_tnf_t;
  real x_tnf_il10;
  real k_tnf;
  real p_il1;
  real x_il1_il10;
  real k_il1;
  real w_il6_0;
  real w_il6_tnf;
  real w_il6_il1;
  real w_il6_ifn;
  real w_il6_t;
  real x_il6_t;
  real x_il6_tnf;
  real x_il6_il1;
  real x_il6_il10;
  real k_x6;
  real s_il6;
  real x_il6_rm;
  real s_ifn;
  real p_ifn;
  real w_ifn_il1;
  real x_ifn_il10;
  real k_ifn;
  real w_il10;
  real p_il10;
  real w_il10_0;
  real x_il10_il6;
  real w_il10_phi;
  real p_il10_t;
  real x_il10_t;
  real k_il10;
  real w_syn;
  real k_s;
  real p_d_cyt;
  real p_d_path;
  real x_d_path;
  real p_d_shock;
  real p_d_hyp;
  real x_d_hyp;
  real k_d_rep;
  real k_ap;
  real x_ap_il6;
  real k_crp;
  real w_crp;
  real k_fer;
  real w_fer;
  real p_fer_ap;
  real p_fer_mac;
  real w_fer_m;
  real x_fer_ifn;
  real w_temp;
  real p_temp;
  real k_temp;
  real x_temp_il1;
  real x_temp_il6;
  real x_temp_tnf;
  real e_gr_m;
  real e_gr_cyt;
  real e_gr_t;
  real k_gr_t;
  real e_gr_temp;
  real w_map;
  real w_map_cyt;
  real w_map_dam;
  real weight;
}
transformed data {
  vector[num_readings] log_value = log(value);
}
parameters {
  vector[7] z;                              // the logarithms of the sampled parameters, along the columns of `basis`
}
transformed parameters {
  vector[7] log_theta = basis * z;
  real k_fb = exp(log_theta[1]);
  real k_il6_np = exp(log_theta[2]);
  real k_il6_rm = exp(log_theta[3]);
  real p_il6 = exp(log_theta[4]);
  real p_s = exp(log_theta[5]);
  real p_crp = exp(log_theta[6]);
  real sigma = exp(log_theta[7]);
}
model {
  array[num_times] vector[24] y;
  vector[24] base = rep_vector(0, 24);
  vector[num_readings] log_f;
  {
    vector[24] now;
    for (s in 1 : num_segments) {
      int from = first[s];
      int to = last[s];
      if (s == 1) {  // from data: without sensitivities to the start
        y[from : to] = solve(method, initial + jump[1], start[1], times[from : to], rtol, atol, max_steps,
          k_fb, k_il6_np, k_il6_rm, p_il6, p_s, p_crp, on, off, inflow, scale, k_p_grow, x_p_cap, x_p_ext, k_p_loc,
          x_p_loc, k_p_m, k_p_t, x_p_kill, k_p_ab, s_e_p, k_e, k_g, k_g_t, s_t_sup, s_t_ag, k_t_exp, x_t_cap, k_t,
          k_t_con, w_perf, w_ag_p, x_ag, k_a1, x_a1, k_a1_dec, k_a2, k_m_e, x_m_e, w_m_tnf, x_m_tnf, k_m_ifn, x_m_ifn,
          k_m_dam, w_m_fl, k_m, x_m_il10, x_s, w_fb_il6, w_fb_il1, w_fb_tnf, w_fb_ifn, x_fb_il6, x_fb_il1, x_fb_tnf,
          x_fb_ifn, w_tnf, p_tnf, w_tnf_0, x_tnf_e, p_tnf_t, x_tnf_il10, k_tnf, p_il1, x_il1_il10, k_il1, w_il6_0,
          w_il6_tnf, w_il6_il1, w_il6_ifn, w_il6_t, x_il6_t, x_il6_tnf, x_il6_il1, x_il6_il10, k_x6, s_il6, x_il6_rm,
          s_ifn, p_ifn, w_ifn_il1, x_ifn_il10, k_ifn, w_il10, p_il10, w_il10_0, x_il10_il6, w_il10_phi, p_il10_t,
          x_il10_t, k_il10, w_syn, k_s, p_d_cyt, p_d_path, x_d_path, p_d_shock, p_d_hyp, x_d_hyp, k_d_rep, k_ap,
          x_ap_il6, k_crp, w_crp, k_fer, w_fer, p_fer_ap, p_fer_mac, w_fer_m, x_fer_ifn, w_temp, p_temp, k_temp,
          x_temp_il1, x_temp_il6, x_temp_tnf, e_gr_m, e_gr_cyt, e_gr_t, k_gr_t, e_gr_temp, w_map, w_map_cyt, w_map_dam,
          weight);
      } else {
        y[from : to] = solve(method, now + jump[s], start[s], times[from : to], rtol, atol, max_steps,
          k_fb, k_il6_np, k_il6_rm, p_il6, p_s, p_crp, on, off, inflow, scale, k_p_grow, x_p_cap, x_p_ext, k_p_loc,
          x_p_loc, k_p_m, k_p_t, x_p_kill, k_p_ab, s_e_p, k_e, k_g, k_g_t, s_t_sup, s_t_ag, k_t_exp, x_t_cap, k_t,
          k_t_con, w_perf, w_ag_p, x_ag, k_a1, x_a1, k_a1_dec, k_a2, k_m_e, x_m_e, w_m_tnf, x_m_tnf, k_m_ifn, x_m_ifn,
          k_m_dam, w_m_fl, k_m, x_m_il10, x_s, w_fb_il6, w_fb_il1, w_fb_tnf, w_fb_ifn, x_fb_il6, x_fb_il1, x_fb_tnf,
          x_fb_ifn, w_tnf, p_tnf, w_tnf_0, x_tnf_e, p_tnf_t, x_tnf_il10, k_tnf, p_il1, x_il1_il10, k_il1, w_il6_0,
          w_il6_tnf, w_il6_il1, w_il6_ifn, w_il6_t, x_il6_t, x_il6_tnf, x_il6_il1, x_il6_il10, k_x6, s_il6, x_il6_rm,
          s_ifn, p_ifn, w_ifn_il1, x_ifn_il10, k_ifn, w_il10, p_il10, w_il10_0, x_il10_il6, w_il10_phi, p_il10_t,
          x_il10_t, k_il10, w_syn, k_s, p_d_cyt, p_d_path, x_d_path, p_d_shock, p_d_hyp, x_d_hyp, k_d_rep, k_ap,
          x_ap_il6, k_crp, w_crp, k_fer, w_fer, p_fer_ap, p_fer_mac, w_fer_m, x_fer_ifn, w_temp, p_temp, k_temp,
          x_temp_il1, x_temp_il6, x_temp_tnf, e_gr_m, e_gr_cyt, e_gr_t, k_gr_t, e_gr_temp, w_map, w_map_cyt, w_map_dam,
          weight);
      }
      now = y[to];
    }
  }
  base[{11, 16, 17, 18, 19}] = to_vector(rest(k_il6_np, k_il6_rm, p_crp, s_il6, x_ap_il6, w_crp, w_fer, p_fer_ap, w_temp,
                                             p_temp, x_temp_il6, x_temp_tnf, w_tnf));
  for (i in 1 : num_readings) {
    int j = state[i];
    log_f[i] = log((at[i] == 0 ? initial[j] : y[at[i], j]) * scale[j] + base[j]);
  }
  log_theta ~ normal(prior_log_median, prior_log_sd);
  log_value ~ normal(log_f, sigma);  // inference/noise.py, a single reading
}
