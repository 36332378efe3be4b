/* The stabilised explicit method of order 2 of Sommeijer, Shampine and Verwer (J Comput Appl Math 1998;88:315): as many stages,
   along the Chebyshev polynomials, as the fastest decay needs to be stable over a step that accuracy allows. */

enum { LAST = 1, MOST = 100, EVERY = 20 };

static const double DAMPING = 2.0 / 13;

/* The direction of fastest decay, how fast it is [1/h], and the number of steps since it was found. */
typedef struct {
  double direction[N], fastest;
  int age;
} Memory;

typedef struct {
  Rows y, end, k[LAST + 1];
  double from, length;
} Step;

/* sum_j w[j] x[j] */
static void blend(int num, const real *w, const Rows *const *x, Rows *out) {
  for (int i = 0; i < N; i++) {
    real sum = w[0] * x[0]->y[i];
    for (int j = 1; j < num; j++) sum += w[j] * x[j]->y[i];
    out->y[i] = sum;
  }
#if R
  for (int i = 0; i < N; i++) {
    vec sum = w[0] * x[0]->s[i];
    for (int j = 1; j < num; j++) sum += w[j] * x[j]->s[i];
    out->s[i] = sum;
  }
#endif
}

static double square(const double *x) {
  double sum = 0;
  for (int i = 0; i < N; i++) sum += x[i] * x[i];
  return sum;
}

/* The largest rate of decay at y, whose slope is k: by the power method on differences, from where it was last found. */
static double fastest(const Rows *y, double t, const Rows *k, const Context *c, const double *flow, Memory *memory) {
  double size = 0, length = square(memory->direction), rate = 0;
  for (int i = 0; i < N; i++) size += y->y[i] * y->y[i];
  if (!(length > 0) || !isfinite(length)) {
    for (int i = 0; i < N; i++) memory->direction[i] = k->y[i] + 1e-3 * (1 + i % 3);
    length = square(memory->direction);
  }
  const double small = (sizeof(real) < 8 ? 1e-3 : 1e-7) * MAX(sqrt(size), 1e-3);
  for (int round = 0; round < 50; round++) {
    Rows near = *y, moved;
    const double share = small / sqrt(length);
    for (int i = 0; i < N; i++) near.y[i] += share * memory->direction[i];
    slope(t, &near, c, flow, &moved);
    for (int i = 0; i < N; i++) memory->direction[i] = (moved.y[i] - k->y[i]) / small;
    length = square(memory->direction);
    const double found = sqrt(length), change = fabs(found - rate);
    rate = found;
    if (!(length > 0) || !isfinite(length)) return isfinite(length) ? 0 : NAN;
    if (round > 0 && change < 0.02 * rate) break;
  }
  return 1.1 * rate;
}

/* One step from y, whose slope is k[0]: its end, the slope there, and its error. */
static double attempt(const Rows *y, double t, double *h, const Context *c, const double *flow, double rtol, double atol,
                      Memory *memory, Rows *k, Rows *new) {
  if (memory->age <= 0) {
    memory->fastest = fastest(y, t, &k[0], c, flow, memory);
    memory->age = EVERY;
  }
  memory->age--;
  double reach = 1.54 * *h * memory->fastest + 1;
  if (reach > (MOST - 1.0) * (MOST - 1.0)) {
    *h = ((MOST - 1.0) * (MOST - 1.0) - 1) / (1.54 * memory->fastest);
    reach = 1.54 * *h * memory->fastest + 1;
  }
  const int num = reach >= 1 ? MAX(2, 1 + (int)sqrt(reach)) : 2;
  const double w0 = 1 + DAMPING / (num * num);
  /* Chebyshev polynomials and their derivatives at w0, at the ends of the recursion first to get w1. */
  double t0 = 1, t1 = w0, d0 = 0, d1 = 1, e0 = 0, e1 = 0;
  for (int j = 2; j <= num; j++) {
    const double t2 = 2 * w0 * t1 - t0, d2 = 2 * w0 * d1 - d0 + 2 * t1, e2 = 2 * w0 * e1 - e0 + 4 * d1;
    t0 = t1, t1 = t2, d0 = d1, d1 = d2, e0 = e1, e1 = e2;
  }
  const double w1 = d1 / e1;
  double b0 = 1 / (4 * w0 * w0), b1 = 1 / w0, a1 = 1 - b1 * w0, node = 0;
  Rows ring[3], f;
  const Rows *const first[2] = {y, &k[0]};
  const real start[2] = {1, *h * b1 * w1};
  ring[0] = *y;
  blend(2, start, first, &ring[1]);
  t0 = 1, t1 = w0, d0 = 0, d1 = 1, e0 = 0, e1 = 0;
  for (int j = 2; j <= num; j++) {
    const double t2 = 2 * w0 * t1 - t0, d2 = 2 * w0 * d1 - d0 + 2 * t1, e2 = 2 * w0 * e1 - e0 + 4 * d1;
    const double b2 = e2 / (d2 * d2);
    if (j == 2) node = w1 * e2 / d2 / (4 * w0);
    slope(t + *h * node, &ring[(j - 1) % 3], c, flow, &f);
    const double mu = 2 * b2 * w0 / b1, nu = -b2 / b0, step = 2 * b2 * w1 / b1;
    const real weights[5] = {1 - mu - nu, mu, nu, *h * step, -*h * a1 * step};
    const Rows *const parts[5] = {y, &ring[(j - 1) % 3], &ring[(j - 2) % 3], &f, &k[0]};
    blend(5, weights, parts, j == num ? new : &ring[j % 3]);
    b0 = b1, b1 = b2, a1 = 1 - b2 * t2, node = w1 * e2 / d2;
    t0 = t1, t1 = t2, d0 = d1, d1 = d2, e0 = e1, e1 = e2;
  }
  slope(t + *h, new, c, flow, &k[1]);
  const real away = 0.8, along = 0.4 * *h;
  real sum = 0;
  vec sums = {0};
  for (int i = 0; i < N; i++) {
    real e = away * (y->y[i] - new->y[i]) + along * (k[0].y[i] + k[1].y[i]);
    e /= atol + rtol * MAX(fabs(y->y[i]), fabs(new->y[i]));
    sum += e * e;
  }
#if R
  for (int i = 0; i < N; i++) {
    vec e = away * (y->s[i] - new->s[i]) + along * (k[0].s[i] + k[1].s[i]), size;
    for (int r = 0; r < LANES; r++) size[r] = MAX(fabs(y->s[i][r]), fabs(new->s[i][r]));
    e /= (real)atol + (real)rtol * size;
    sums += e * e;
  }
#endif
  const double ratio = worst(sum, sums);
  if (!(ratio <= 1)) memory->age = 0;
  return ratio;
}

static double next_step(double h, double ratio) {
  return h * (isfinite(ratio) ? MIN(MAX(0.8 * pow(MAX(ratio, 1e-9), -1.0 / 3), 0.1), 10.0) : 0.1);
}

static void keep(Step *step, const Rows *y, const Rows *new, const Rows *k) {
  step->y = *y;
  step->end = *new;
  memcpy(step->k, k, sizeof step->k);
}

/* The state at a share x of the step that was taken, by Hermite's polynomial of degree 3. */
static void within(const Step *step, double x, Rows *out) {
  const double z = 1 - x, h = step->length;
  const real weights[4] = {z * z * (1 + 2 * x), x * x * (3 - 2 * x), h * x * z * z, -h * x * x * z};
  const Rows *const parts[4] = {&step->y, &step->end, &step->k[0], &step->k[1]};
  blend(4, weights, parts, out);
}
