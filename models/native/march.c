/* The loop of march.py in C, with the right-hand side and its tangents from a generated header.

   The header defines N states, R tangents in LANES lanes (a power of two), the numbers of VALUES, ACTIVE (those of the
   values that have tangents), ONCE, ONCE_REALS and ONCE_TANGENTS, the type `real` of the state, float or double, that of
   its tangents, `vec`, and the functions `prepare` and `field`. All arguments and results, and time, are doubles. METHOD is
   the file that takes a step.

   Order of the arguments: initial[R + 1][N], values[VALUES], tangents[R][ACTIVE], start[L], end[L], limit[L], fresh[L],
   jump[L][N], inflow[L][N], controls = {rtol, atol, max_steps}; results: ends[L][R + 1][N], state = {arrived, steps}.
   Any leading dimensions are a batch. */

#include <string.h>
#include <tgmath.h> /* of the type of the operand */

#include "xla/ffi/api/c_api.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

#include FIELD

/* State and tangents; without tangents the second part is one unused lane. */
typedef struct {
  real y[N];
  vec s[R ? N : 1];
} Rows;

typedef struct {
  const double *values, *inflow;
  const vec *tangents;
  double once[ONCE + 1];
  real once_reals[ONCE_REALS + 1];
  vec once_tangents[ONCE_TANGENTS + 1];
} Context;

static void slope(double t, const Rows *y, const Context *c, const double *inflow, Rows *k) {
  field(t, y->y, y->s, c->values, c->tangents, c->once, c->once_reals, c->once_tangents, k->y, k->s);
  if (inflow)
    for (int i = 0; i < N; i++) k->y[i] += inflow[i];
}

/* The largest root mean square of a row; not a number if anything is not finite. */
static real worst(real sum, vec sums) {
  real largest = sum;
  int finite = isfinite(sum);
  for (int r = 0; r < R; r++) {
    finite &= isfinite(sums[r]);
    largest = MAX(largest, sums[r]);
  }
  return finite ? sqrt(largest / N) : (real)NAN;
}

static double first_step(const Rows *y, const Rows *k, real rtol, real atol) {
  real size = 0, speed = 0;
  vec sizes = {0}, speeds = {0};
  for (int i = 0; i < N; i++) {
    real scale = atol + rtol * fabs(y->y[i]);
    size += (y->y[i] / scale) * (y->y[i] / scale);
    speed += (k->y[i] / scale) * (k->y[i] / scale);
#if R
    for (int r = 0; r < R; r++) {
      real wide = atol + rtol * fabs(y->s[i][r]);
      sizes[r] += (y->s[i][r] / wide) * (y->s[i][r] / wide);
      speeds[r] += (k->s[i][r] / wide) * (k->s[i][r] / wide);
    }
#endif
  }
  double large = worst(size, sizes), fast = worst(speed, speeds);
  double step = large > 1e-5 && fast > 1e-5 ? 0.01 * large / MAX(fast, 1e-9) : 1e-6;
  return isfinite(step) && !isnan(large) && !isnan(fast) ? MIN(MAX(step, 1e-6), 1.0) : 1e-6;
}

#include METHOD

static void load(const double *in, Rows *y) {
  memset(y, 0, sizeof *y);
  for (int i = 0; i < N; i++) y->y[i] = in[i];
#if R
  for (int r = 0; r < R; r++)
    for (int i = 0; i < N; i++) y->s[i][r] = in[(r + 1) * N + i];
#endif
}

static void save(const Rows *y, double *out) {
  for (int i = 0; i < N; i++) out[i] = y->y[i];
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
  Memory memory = {0};
  Rows y, new, k[LAST + 1];
  Step taken;
  memset(along, 0, sizeof along);
  for (int r = 0; r < R; r++)
    for (int a = 0; a < ACTIVE; a++) along[a][r] = tangents[r * ACTIVE + a];
  c.values = values;
  c.tangents = along;
  prepare(values, along, c.once, c.once_reals, c.once_tangents);

  load(initial, &y);
  memset(&taken, 0, sizeof taken);
  taken.y = new = y;
  for (int i = 0; i < N; i++) new.y[i] += jump[i];
  slope(start[0], &new, &c, NULL, &k[0]);
  double t = start[0], h = first_step(&new, &k[0], rtol, atol), steps = 0;
  taken.from = t;
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
      double whole = limit[leg] - t, try = MIN(h, whole);
      double ratio = attempt(&y, t, &try, &c, flow, rtol, atol, &memory, k, &new);
      if (ratio <= 1) {
        const double from = t;
        t = try >= whole ? limit[leg] : t + try;
        if (t >= end[leg]) { /* readings lie within it */
          keep(&taken, &y, &new, k);
          taken.from = from;
          taken.length = try;
        }
        y = new;
        k[0] = k[LAST];
      }
      h = next_step(try, ratio);
      steps++;
    }
    double x = (end[leg] - taken.from) / (taken.length > 0 ? taken.length : 1.0);
    within(&taken, x, &new);
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
