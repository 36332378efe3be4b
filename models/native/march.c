/* The loop of march.py in C, with the right-hand side and its tangents from a generated header.

   The header defines N states, R tangents in LANES lanes (a power of two), the numbers of VALUES, ACTIVE (those of the
   values that have tangents), ONCE and ONCE_TANGENTS, the type `vec`, and the functions `prepare` and `field`.

   Order of the arguments: initial[R + 1][N], values[VALUES], tangents[R][ACTIVE], start[L], end[L], limit[L], fresh[L],
   jump[L][N], inflow[L][N], controls = {rtol, atol, max_steps}; results: ends[L][R + 1][N], state = {arrived, steps}.
   Any leading dimensions are a batch. */

#include <math.h>
#include <string.h>

#include "xla/ffi/api/c_api.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

#include FIELD

/* State and tangents; without tangents the second part is one unused lane. */
typedef struct {
  double y[N];
  vec s[R ? N : 1];
} Rows;

typedef struct {
  const double *values, *inflow;
  const vec *tangents;
  double once[ONCE + 1];
  vec once_tangents[ONCE_TANGENTS + 1];
} Context;

static const double NODES[7] = {0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1};
static const double STAGES[6][6] = {
    {0.161, 0, 0, 0, 0, 0},
    {-0.008480655492356989, 0.335480655492357, 0, 0, 0, 0},
    {2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0, 0, 0},
    {5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525, 0, 0},
    {5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383, 0},
    {0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774}};
static const double ERROR[7] = {-0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629,
                                0.5823571654525552,      -0.45808210592918697,   0.015151515151515152};
static const double DENSE[7][5] = {{0, 0.9999999999999998, -2.763706197274826, 2.9132554618219126, -1.0530884977290216},
                                   {0, 0, 0.13169999999999998, -0.2234, 0.1017},
                                   {0, 0, 3.930296236894751, -5.941033872131505, 2.490627285651253},
                                   {0, 0, -12.411077166933676, 30.338188630282318, -16.548102889244902},
                                   {0, 0, 37.50931341651104, -88.1789048947664, 47.37952196281928},
                                   {0, 0, -27.896526289197286, 65.09189467479368, -34.87065786149661},
                                   {0, 0, 1.5, -4.0, 2.5}};

static void slope(double t, const Rows *y, const Context *c, const double *inflow, Rows *k) {
  field(t, y->y, y->s, c->values, c->tangents, c->once, c->once_tangents, k->y, k->s);
  if (inflow)
    for (int i = 0; i < N; i++) k->y[i] += inflow[i];
}

/* y + h * sum_j w[j] k[j] */
static void combine(const Rows *y, double h, const double *w, const Rows *k, int num, Rows *out) {
  for (int i = 0; i < N; i++) {
    double sum = 0;
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

/* The largest root mean square of a row; not a number if anything is not finite. */
static double worst(double sum, vec sums) {
  double largest = sum;
  int finite = isfinite(sum);
  for (int r = 0; r < R; r++) {
    finite &= isfinite(sums[r]);
    largest = MAX(largest, sums[r]);
  }
  return finite ? sqrt(largest / N) : NAN;
}

static double error_ratio(const Rows *y, const Rows *new, const Rows *k, double h, double rtol, double atol) {
  double sum = 0;
  vec sums = {0};
  for (int i = 0; i < N; i++) {
    double e = 0;
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

static double first_step(const Rows *y, const Rows *k, double rtol, double atol) {
  double size = 0, speed = 0;
  vec sizes = {0}, speeds = {0};
  for (int i = 0; i < N; i++) {
    double scale = atol + rtol * fabs(y->y[i]);
    size += (y->y[i] / scale) * (y->y[i] / scale);
    speed += (k->y[i] / scale) * (k->y[i] / scale);
#if R
    for (int r = 0; r < R; r++) {
      double wide = atol + rtol * fabs(y->s[i][r]);
      sizes[r] += (y->s[i][r] / wide) * (y->s[i][r] / wide);
      speeds[r] += (k->s[i][r] / wide) * (k->s[i][r] / wide);
    }
#endif
  }
  double large = worst(size, sizes), fast = worst(speed, speeds);
  double step = large > 1e-5 && fast > 1e-5 ? 0.01 * large / MAX(fast, 1e-9) : 1e-6;
  return isfinite(step) && !isnan(large) && !isnan(fast) ? MIN(MAX(step, 1e-6), 1.0) : 1e-6;
}

static void load(const double *in, Rows *y) {
  memset(y, 0, sizeof *y);
  memcpy(y->y, in, sizeof y->y);
#if R
  for (int r = 0; r < R; r++)
    for (int i = 0; i < N; i++) y->s[i][r] = in[(r + 1) * N + i];
#endif
}

static void save(const Rows *y, double *out) {
  memcpy(out, y->y, sizeof y->y);
#if R
  for (int r = 0; r < R; r++)
    for (int i = 0; i < N; i++) out[(r + 1) * N + i] = y->s[i][r];
#endif
}

static void march(const double *initial, const double *values, const double *tangents, const double *start, const double *end,
                  const double *limit, const double *fresh, const double *jump, const double *inflow, const double *controls,
                  int legs, double *ends, double *outcome) {
  const double rtol = controls[0], atol = controls[1], max_steps = controls[2];
  vec along[ACTIVE + 1];
  Context c;
  Rows y, before, new, k[7], kept[7];
  memset(along, 0, sizeof along);
  for (int r = 0; r < R; r++)
    for (int a = 0; a < ACTIVE; a++) along[a][r] = tangents[r * ACTIVE + a];
  c.values = values;
  c.tangents = along;
  prepare(values, along, c.once, c.once_tangents);

  load(initial, &y);
  before = y;
  memset(kept, 0, sizeof kept);
  new = y;
  for (int i = 0; i < N; i++) new.y[i] += jump[i];
  slope(start[0], &new, &c, NULL, &k[0]);
  double t = start[0], h = first_step(&new, &k[0], rtol, atol), from = t, length = 0, steps = 0;
  int arrived = 1;

  for (int leg = 0; leg < legs; leg++) {
    const double *flow = inflow + leg * N;
    if (leg && end[leg] == end[leg - 1] && fresh[leg] == 0) { /* it only fills up the shape */
      memcpy(ends + leg * (R + 1) * N, ends + (leg - 1) * (R + 1) * N, (R + 1) * N * sizeof(double));
      continue;
    }
    if (fresh[leg] != 0) {
      for (int i = 0; i < N; i++) y.y[i] += jump[leg * N + i];
      t = start[leg];
      slope(t, &y, &c, flow, &k[0]);
    }
    while (t < end[leg] && steps < max_steps) {
      int last = t + h >= limit[leg];
      if (last) h = limit[leg] - t;
      for (int stage = 1; stage < 7; stage++) {
        combine(&y, h, STAGES[stage - 1], k, stage, &new);
        slope(t + NODES[stage] * h, &new, &c, flow, &k[stage]);
      }
      double ratio = error_ratio(&y, &new, k, h, rtol, atol);
      if (ratio <= 1) {
        before = y;
        memcpy(kept, k, sizeof kept);
        from = t;
        length = h;
        t = last ? limit[leg] : t + h;
        y = new;
        k[0] = k[6];
      }
      h *= isfinite(ratio) ? MIN(MAX(0.9 * pow(MAX(ratio, 1e-9), -0.2), 0.2), 10.0) : 0.2;
      steps++;
    }
    double x = (end[leg] - from) / (length > 0 ? length : 1.0), weights[7];
    for (int j = 0; j < 7; j++) weights[j] = x * (DENSE[j][1] + x * (DENSE[j][2] + x * (DENSE[j][3] + x * DENSE[j][4])));
    combine(&before, length, weights, kept, 7, &new);
    save(&new, ends + leg * (R + 1) * N);
    arrived &= t >= end[leg];
  }
  outcome[0] = arrived;
  outcome[1] = steps;
}

static const XLA_FFI_Buffer *argument(XLA_FFI_CallFrame *frame, int i) { return (const XLA_FFI_Buffer *)frame->args.args[i]; }

XLA_FFI_Error *cytostorm_march(XLA_FFI_CallFrame *frame) {
  if (frame->extension_start && frame->extension_start->type == XLA_FFI_Extension_Metadata) {
    XLA_FFI_Metadata *about = ((XLA_FFI_Metadata_Extension *)frame->extension_start)->metadata;
    about->api_version.major_version = XLA_FFI_API_MAJOR;
    about->api_version.minor_version = XLA_FFI_API_MINOR;
    about->traits = 0;
    memset(&about->state_type_id, 0, sizeof about->state_type_id);
    return NULL;
  }
  const XLA_FFI_Buffer *times = argument(frame, 3);
  const int legs = (int)times->dims[times->rank - 1];
  long batch = 1;
  for (int i = 0; i + 1 < times->rank; i++) batch *= times->dims[i];
  const double *in[10];
  for (int i = 0; i < 10; i++) in[i] = (const double *)argument(frame, i)->data;
  double *ends = (double *)((XLA_FFI_Buffer *)frame->rets.rets[0])->data;
  double *outcome = (double *)((XLA_FFI_Buffer *)frame->rets.rets[1])->data;
#pragma omp parallel for schedule(dynamic) if (batch > 3)
  for (long b = 0; b < batch; b++)
    march(in[0] + b * (R + 1) * N, in[1] + b * VALUES, in[2] + b * R * ACTIVE, in[3] + b * legs, in[4] + b * legs,
          in[5] + b * legs, in[6] + b * legs, in[7] + b * legs * N, in[8] + b * legs * N, in[9] + b * 3, legs,
          ends + b * legs * (R + 1) * N, outcome + b * 2);
  return NULL;
}
