/* Tsitouras' explicit method of order 5(4): Comput Math Appl 2011;62:770-775, table 1. */

static const double NODES[7] = {0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1};
static const real STAGES[6][6] = {
    {0.161, 0, 0, 0, 0, 0},
    {-0.008480655492356989, 0.335480655492357, 0, 0, 0, 0},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0, 0, 0},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525, 0, 0},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383, 0},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774}};
static const real ERROR[7] = {-0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629,
                                0.5823571654525552,      -0.45808210592918697,   0.015151515151515152};
static const double DENSE[7][5] = {{0, 0.9999999999999998, -2.763706197274826, 2.9132554618219126, -1.0530884977290216},
                                   {0, 0, 0.13169999999999998, -0.2234, 0.1017},
                                   {0, 0, 3.930296236894751, -5.941033872131505, 2.490627285651253},
                                   {0, 0, -12.411077166933676, 30.338188630282318, -16.548102889244902},
                                   {0, 0, 37.50931341651104, -88.1789048947664, 47.37952196281928},
                                   {0, 0, -27.896526289197286, 65.09189467479368, -34.87065786149661},
                                   {0, 0, 1.5, -4.0, 2.5}};

enum { LAST = 6 };

typedef struct {
  int nothing;
} Memory;

typedef struct {
  Rows y, k[LAST + 1];
  double from, length;
} Step;

/* y + h * sum_j w[j] k[j] */
static void combine(const Rows *y, real h, const real *w, const Rows *k, int num, Rows *out) {
  for (int i = 0; i < N; i++) {
    real sum = 0;
    for (int j = 0; j < num; j++) sum += w[j] * k[j].y[i];
    out->y[i] = y->y[i] + h * sum;
  }
#if R
  for (int i = 0; i < N; i++) {
    vec sum = w[0] * k[0].s[i];
    for (int j = 1; j < num; j++) sum += w[j] * k[j].s[i];
    out->s[i] = y->s[i] + h * sum;
  }
#endif
}

static real error_ratio(const Rows *y, const Rows *new, const Rows *k, real h, real rtol, real atol) {
  real sum = 0;
  vec sums = {0};
  for (int i = 0; i < N; i++) {
    real e = 0;
    for (int j = 0; j < 7; j++) e += ERROR[j] * k[j].y[i];
    e *= h / (atol + rtol * MAX(fabs(y->y[i]), fabs(new->y[i])));
    sum += e * e;
  }
#if R
  for (int i = 0; i < N; i++) {
    vec e = ERROR[0] * k[0].s[i], size;
    for (int j = 1; j < 7; j++) e += ERROR[j] * k[j].s[i];
    for (int r = 0; r < LANES; r++) size[r] = MAX(fabs(y->s[i][r]), fabs(new->s[i][r]));
    e *= h / (atol + rtol * size);
    sums += e * e;
  }
#endif
  return worst(sum, sums);
}

/* One step from y, whose slope is k[0]: its end, the slopes of its stages, the last at its end, and its error. */
static double attempt(const Rows *y, double t, double *h, const Context *c, const double *flow, double rtol, double atol,
                      Memory *memory, Rows *k, Rows *new) {
  for (int stage = 1; stage < 7; stage++) {
    combine(y, *h, STAGES[stage - 1], k, stage, new);
    slope(t + NODES[stage] * *h, new, c, flow, &k[stage]);
  }
  return error_ratio(y, new, k, *h, rtol, atol);
}

static double next_step(double h, double ratio) {
  return h * (isfinite(ratio) ? MIN(MAX(0.9 * pow(MAX(ratio, 1e-9), -0.2), 0.2), 10.0) : 0.2);
}

static void keep(Step *step, const Rows *y, const Rows *new, const Rows *k) {
  (void)new;
  step->y = *y;
  memcpy(step->k, k, sizeof step->k);
}

/* The state at a share x of the step that was taken. */
static void within(const Step *step, double x, Rows *out) {
  real weights[7];
  for (int j = 0; j < 7; j++) weights[j] = x * (DENSE[j][1] + x * (DENSE[j][2] + x * (DENSE[j][3] + x * DENSE[j][4])));
  combine(&step->y, step->length, weights, step->k, 7, out);
}
