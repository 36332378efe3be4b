/* The storm network by Tsitouras' 5(4) method in plain C: the algorithm of models/march.py for the states alone.
 *
 * Same tableau, error norm, step control, first step, handling of dose times and dense output at the readings.
 * What a number is: models/host.py; the equations: models/network.py without linear drugs, which this patient does not get.
 */
#include <math.h>
#include <string.h>

#define N 24

/* The order of this list is the order in which plain_c.py hands the values over. */
typedef struct {
    double k_p_grow, x_p_cap, x_p_ext, k_p_loc, x_p_loc, k_p_m, k_p_t, x_p_kill, k_p_ab, s_e_p, k_e, k_g, k_g_t,
           s_t_sup, s_t_ag, k_t_exp, x_t_cap, k_t, k_t_con, w_perf, w_ag_p, x_ag, k_a1, x_a1, k_a1_dec, k_a2,
           k_m_e, x_m_e, w_m_tnf, x_m_tnf, k_m_ifn, x_m_ifn, k_m_dam, k_fb, w_m_fl, k_m, x_m_il10, x_s, w_fb_il6,
           w_fb_il1, w_fb_tnf, w_fb_ifn, x_fb_il6, x_fb_il1, x_fb_tnf, x_fb_ifn, w_tnf, p_tnf, w_tnf_0, x_tnf_e,
           p_tnf_t, x_tnf_il10, k_tnf, p_il1, x_il1_il10, k_il1, w_il6_0, w_il6_tnf, w_il6_il1, w_il6_ifn, w_il6_t,
           x_il6_t, x_il6_tnf, x_il6_il1, x_il6_il10, k_x6, s_il6, p_il6, k_il6_np, k_il6_rm, x_il6_rm, s_ifn,
           p_ifn, w_ifn_il1, x_ifn_il10, k_ifn, w_il10, p_il10, w_il10_0, x_il10_il6, w_il10_phi, p_il10_t,
           x_il10_t, k_il10, w_syn, p_s, k_s, p_d_cyt, p_d_path, x_d_path, p_d_shock, p_d_hyp, x_d_hyp, k_d_rep,
           k_ap, x_ap_il6, k_crp, w_crp, p_crp, k_fer, w_fer, p_fer_ap, p_fer_mac, w_fer_m, x_fer_ifn, w_temp,
           p_temp, k_temp, x_temp_il1, x_temp_il6, x_temp_tnf, e_gr_m, e_gr_cyt, e_gr_t, k_gr_t, e_gr_temp, w_map,
           w_map_cyt, w_map_dam, weight;
} Host;

/* From dose or reading time to dose or reading time (models/march.py, Legs). */
typedef struct {
    double start, end, limit;
    double fresh; /* not 0 where it begins at a dose time */
    double jump[N], inflow[N];
} Leg;

static const double STAGES[6][6] = {
    {0.161, 0.0, 0.0, 0.0, 0.0, 0.0},
    {-0.008480655492356989, 0.335480655492357, 0.0, 0.0, 0.0, 0.0},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0.0, 0.0, 0.0},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525, 0.0, 0.0},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383, 0.0},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774},
};
static const double ERROR[7] = {
    -0.001780011052225777, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629,
    0.5823571654525552, -0.45808210592918697, 0.015151515151515152,
};
static const double DENSE[7][5] = {
    {0.0, 0.9999999999999998, -2.763706197274826, 2.9132554618219126, -1.0530884977290216},
    {0.0, 0.0, 0.13169999999999998, -0.2234, 0.1017},
    {0.0, 0.0, 3.930296236894751, -5.941033872131505, 2.490627285651253},
    {0.0, 0.0, -12.411077166933676, 30.338188630282318, -16.548102889244902},
    {0.0, 0.0, 37.50931341651104, -88.1789048947664, 47.37952196281928},
    {0.0, 0.0, -27.896526289197286, 65.09189467479368, -34.87065786149661},
    {0.0, 0.0, 1.5, -4.0, 2.5},
};

static inline double H1(double x, double k) { return x / (k + x); }
static inline double H2(double x, double k) { return x * x / (k * k + x * x); }
static inline double H3(double x, double k) { return x * x * x / (k * k * k + x * x * x); }
static inline double logistic(double u) { return 1 / (1 + exp(-u)); }

static void field(const double *restrict y, const Host *restrict h, double *restrict dy) {
    const double P = y[0], E = y[1], G = y[2], T = y[3], A1 = y[4], A2 = y[5], M = y[6], TNF = y[7], IL1 = y[8], X6
                 = y[9], IL6 = y[10], IFN = y[11], IL10 = y[12], S = y[13], D = y[14], AP = y[15], CRP = y[16], FER
                 = y[17], TEMP = y[18], c = y[19], A_t = y[20], A_d = y[21], A_s = y[22], A_p = y[23];

    // Drugs: occupancy of the IL-6 receptor by its antibodies (models/effects.py; molar mass [kDa], K_D [nM]).
    const double size70 = h->weight / 70;
    const double flow = pow(size70, 0.75);
    const double tcz = A_t / (4.34 * size70);
    const double sar = A_s / (1.66 * size70);
    const double sarp = A_p / (4.18 * size70);
    const double bound = tcz * (1e3 / (148.0 * 2.5)) + sar * (1e3 / (150.0 * 0.1));
    const double rho = bound / (1 + bound);

    // Signals
    const double r = 1 - rho;
    const double s6 = r * H2(IL6, h->x_fb_il6);
    const double s1 = H2(IL1, h->x_fb_il1);
    const double sF = H2(TNF, h->x_fb_tnf);
    const double sG = H2(IFN, h->x_fb_ifn);
    const double sGm = H2(IFN, h->x_m_ifn);
    const double Phi = h->w_fb_il6 * s6 + h->w_fb_il1 * s1 + h->w_fb_tnf * sF + h->w_fb_ifn * sG;
    const double bS = 1 / (1 + S / h->x_s);
    const double B = bS * (h->w_m_fl + (1 - h->w_m_fl) / (1 + IL10 / h->x_m_il10));
    const double load = h->w_ag_p * P + G;
    const double ant = load / (h->x_ag + load);
    const double gm = 1 - h->e_gr_m * c;
    const double gc = 1 - h->e_gr_cyt * c;
    const double TG = T * ant;
    const double tox = 0.30 * sF + 0.25 * s1 + 0.25 * s6 + 0.20 * sG;
    const double MAP = h->w_map * (1 - h->w_map_cyt * (0.4 * sF + 0.35 * s1 + 0.25 * s6) - h->w_map_dam * D);

    // Triggers and adaptive immunity
    const double dP = P * (h->k_p_grow * (1 - P / h->x_p_cap) * P / (P + h->x_p_ext)
                   - h->k_p_loc / (1 + P / h->x_p_loc)
                   - (h->k_p_m * M * bS + h->k_p_t * h->w_perf * T) / (1 + P / h->x_p_kill)
                   - h->k_p_ab * h->w_perf * A2 * A2);
    const double dE = h->k_e * (h->s_e_p * P - E);
    const double dG = -h->k_g * G - h->k_g_t * h->w_perf * T * G;
    const double dT = h->s_t_sup * G + h->s_t_ag * ant
              + h->k_t_exp * TG * (1 - T / h->x_t_cap) * (1 - h->e_gr_t * c)
              - (h->k_t + h->k_t_con * h->w_perf * (1 - ant) + h->k_gr_t * c) * T;
    const double dA1 = h->k_a1 * P / (P + h->x_a1) * (1 - A1) - h->k_a1_dec * A1;
    const double dA2 = h->k_a2 * (A1 - A2);

    // Myeloid activation and cytokines
    const double dM = (h->k_m_e * H1(E, h->x_m_e) * (1 + h->w_m_tnf * H3(TNF, h->x_m_tnf))
               + h->k_m_ifn * sGm + h->k_m_dam * D + h->k_fb * Phi) * gm * B * (1 - M) - h->k_m * M;
    const double dTNF = (h->p_tnf * M * (h->w_tnf_0 + (1 - h->w_tnf_0) * E / (E + h->x_tnf_e)) * bS
                 / (1 + IL10 / h->x_tnf_il10) + h->p_tnf_t * TG) * gc - h->k_tnf * (TNF - h->w_tnf);
    const double dIL1 = h->p_il1 * M * gc / (1 + IL10 / h->x_il1_il10) - h->k_il1 * IL1;
    const double q = h->w_il6_0 + h->w_il6_tnf * H2(TNF, h->x_il6_tnf) + h->w_il6_il1 * H3(IL1, h->x_il6_il1)
             + h->w_il6_ifn * sGm + h->w_il6_t * TG / (h->x_il6_t + TG);
    const double dX6 = h->k_x6 * (M * q * gc / (1 + IL10 / h->x_il6_il10) - X6);
    const double dIL6 = h->s_il6 + h->p_il6 * X6 - (h->k_il6_np + h->k_il6_rm * r / (1 + IL6 / h->x_il6_rm)) * IL6;
    const double syn = 1 + h->w_syn * (1 - h->w_perf);
    const double dIFN = h->s_ifn + h->p_ifn * syn * TG * (1 + h->w_ifn_il1 * s1) * gc / (1 + IL10 / h->x_ifn_il10)
                - h->k_ifn * IFN;
    const double dIL10 = h->p_il10 * M * (h->w_il10_0 + (1 - h->w_il10_phi + h->w_il10_phi * r) * H2(IL6, h->x_il10_il6))
                 + h->p_il10_t * syn * TG * TG / (h->x_il10_t + TG) - h->k_il10 * (IL10 - h->w_il10);

    // Slow consequences and read-outs
    const double dS = h->p_s * M - h->k_s * S;
    const double dD = (1 - D) * (h->p_d_cyt * tox * tox + h->p_d_path * P / (P + h->x_d_path)
                         + h->p_d_shock * logistic((62 - MAP) / 4) + h->p_d_hyp * logistic((D - h->x_d_hyp) / 0.06))
              - h->k_d_rep * D * (1 - tox);
    const double dAP = h->k_ap * (r * IL6 / (IL6 + h->x_ap_il6) - AP);
    const double dCRP = h->k_crp * (h->w_crp + h->p_crp * AP - CRP);
    const double dFER = h->k_fer * (h->w_fer + h->p_fer_ap * AP
                        + h->p_fer_mac * (h->w_fer_m + M) * H2(IFN, h->x_fer_ifn) - FER);
    const double fx = 0.7 * H1(IL1, h->x_temp_il1) + 0.7 * r * H1(IL6, h->x_temp_il6) + 0.3 * H1(TNF, h->x_temp_tnf);
    const double dTEMP = h->k_temp * (h->w_temp + h->p_temp * (1 - h->e_gr_temp * c) * (1 - exp(-fx)) - TEMP);
    const double dc = -log(2.0) / 3.0 * c;

    // Antibodies: tocilizumab (Moes 2022), sarilumab (Xu 2019), as models/network.py has them.
    const double dA_t = -flow * (0.725 / 24 * tcz + 4.19 / 24 * tcz / (0.22 + tcz));
    const double dA_d = -0.136 / 24 * A_d;
    const double dA_p = flow * (0.125 / 24) * (sar - sarp);
    const double dA_s = 0.136 / 24 * A_d - flow * (0.208 / 24 * sar + 6.45 / 24 * sar / (0.939 + sar)) - dA_p;

    const double all[N] = {
        dP, dE, dG, dT, dA1, dA2, dM, dTNF, dIL1, dX6, dIL6, dIFN, dIL10, dS, dD, dAP, dCRP, dFER, dTEMP, dc,
        dA_t, dA_d, dA_s, dA_p,
    };
    memcpy(dy, all, sizeof all);
}

/* The field in units of `scale`, with what flows in. */
static void slope(const double *restrict x, const Host *restrict h, const double *restrict scale, const double *restrict per,
                  const double *restrict inflow, double *restrict dx) {
    double y[N], dy[N];
    for (int i = 0; i < N; i++) y[i] = x[i] * scale[i];
    field(y, h, dy);
    for (int i = 0; i < N; i++) dx[i] = dy[i] * per[i] + inflow[i];
}

/* A careful first step (Hairer, Norsett, Wanner, II.4). */
static double first_step(const double *k, const double *y, double rtol, double atol) {
    double size = 0, speed = 0;
    for (int i = 0; i < N; i++) {
        const double s = atol + rtol * fabs(y[i]);
        size += y[i] / s * (y[i] / s);
        speed += k[i] / s * (k[i] / s);
    }
    size = sqrt(size / N), speed = sqrt(speed / N);
    const double h = size > 1e-5 && speed > 1e-5 ? 0.01 * size / fmax(speed, 1e-9) : 1e-6;
    return isfinite(h) ? fmin(fmax(h, 1e-6), 1.0) : 1e-6;
}

/* Solve from `initial` over the legs and save y at the end of each, all in units of `scale`; the steps taken, rejected ones
 * included, or -1 where more than `max_steps` are needed. */
int march(const Host *host, const double *scale, const double *initial, const Leg *legs, int num_legs, double rtol,
          double atol, int max_steps, double *saved) {
    double per[N], y[N], k[7][N], old[N], stages[7][N] = {{0}}, new[N];
    double t = legs[0].start, h, from = t, length = 0;
    int steps = 0;
    for (int i = 0; i < N; i++) per[i] = 1 / scale[i], y[i] = initial[i] + legs[0].jump[i], old[i] = y[i];
    /* As models/march.py: the first step is chosen before an infusion at the start flows. */
    const double none[N] = {0};
    slope(y, host, scale, per, none, k[0]);
    h = first_step(k[0], y, rtol, atol);
    memcpy(y, initial, sizeof y);

    for (int l = 0; l < num_legs; l++) {
        const Leg *leg = legs + l;
        if (leg->fresh != 0) {
            t = leg->start;
            for (int i = 0; i < N; i++) y[i] += leg->jump[i];
            slope(y, host, scale, per, leg->inflow, k[0]);
        }
        while (t < leg->end) {
            if (steps++ == max_steps) return -1;
            const int last = t + h >= leg->limit;
            if (last) h = leg->limit - t;
            for (int s = 1; s < 7; s++) {
                for (int i = 0; i < N; i++) {
                    double sum = 0;
                    for (int j = 0; j < s; j++) sum += STAGES[s - 1][j] * k[j][i];
                    new[i] = y[i] + h * sum;
                }
                slope(new, host, scale, per, leg->inflow, k[s]); /* the field does not depend on time */
            }
            double sum = 0;
            for (int i = 0; i < N; i++) {
                double error = 0;
                for (int j = 0; j < 7; j++) error += ERROR[j] * k[j][i];
                error *= h / (atol + rtol * fmax(fabs(y[i]), fabs(new[i])));
                sum += error * error;
            }
            const double ratio = sqrt(sum / N);
            double factor = isfinite(ratio) ? fmin(fmax(0.9 * pow(fmax(ratio, 1e-9), -0.2), 0.2), 10.0) : 0.2;
            if (ratio <= 1) {
                from = t, length = h;
                memcpy(old, y, sizeof y);
                memcpy(stages, k, sizeof k);
                memcpy(y, new, sizeof y);
                memcpy(k[0], k[6], sizeof k[0]);
                t = last ? leg->limit : t + h;
            }
            h *= factor;
        }
        /* Dense output of fourth order within the last step taken. */
        const double x = (leg->end - from) / (length > 0 ? length : 1);
        double weight[7];
        for (int j = 0; j < 7; j++) weight[j] = x * (DENSE[j][1] + x * (DENSE[j][2] + x * (DENSE[j][3] + x * DENSE[j][4])));
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int j = 0; j < 7; j++) sum += weight[j] * stages[j][i];
            saved[l * N + i] = old[i] + length * sum;
        }
    }
    return steps;
}
