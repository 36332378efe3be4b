// The minimal feedback model with group means of IL-6: the posterior of `cytostorm fit`, once more in Stan.
// What a number is: models/minimal.py and models/stimulus.py; what the data are: benchmarks/export.py.
functions {
  // U(t) after boluses of LPS (models/stimulus.py, Transit; reference dose 2 ng/kg).
  real stimulus(real t, real u0, real t_u, real n_u, data array[] real dose_time, data array[] real dose) {
    real response = 0;
    for (i in 1 : size(dose)) {
      if (t > dose_time[i]) {
        real s = (t - dose_time[i]) / t_u;
        response += dose[i] * exp(n_u * (log(s) + 1 - s));
      }
    }
    return u0 * response / 2.0;
  }

  // The healthy equilibrium (models/minimal.py, rest): monotone iteration from z = b.
  vector rest(real gamma, real k_l, real x_l, real w_l, real w_r) {
    real b = w_l / x_l;
    real z = b;
    for (i in 1 : 12) {
      z = b + gamma / (1 + w_r * z) * square(z) / (1 + square(z));
    }
    return [k_l * x_l * (z - b), x_l * z, w_r * z]';
  }

  // The equations (models/minimal.py, vector_field); y is in units of `scale`, so that one absolute tolerance serves all.
  vector field(real t, vector y, real gamma, real k_l, real k_m, real x_l, real w_l, real k_r, real w_r, real u0, real t_u,
               real n_u, data array[] real dose_time, data array[] real dose, data vector scale) {
    real M = y[1] * scale[1];
    real L = y[2] * scale[2];
    real R = y[3] * scale[3];
    real U = stimulus(t, u0, t_u, n_u, dose_time, dose);
    real z = L / x_l;
    real feedback = gamma * k_m * k_l * x_l * square(z) / (1 + square(z));
    real dM = (U + feedback) / (1 + R)  - k_m * M;
    real dL = k_l * (w_l - L)           + M;
    real dR = k_r * (w_r * z - R);
    return [dM / scale[1], dL / scale[2], dR / scale[3]]';
  }
}
data {
  int<lower=0, upper=1> method;            // 0: Dormand-Prince 5(4), explicit; 1: backward differentiation, implicit
  real<lower=0> rtol;
  real<lower=0> atol;                      // in units of `scale`
  int<lower=1> max_steps;                  // between two times
  vector<lower=0>[3] scale;                // natural scale of each state
  int<lower=0> num_doses;                  // boluses of LPS [ng/kg], which the stimulus takes
  array[num_doses] real dose_time;
  array[num_doses] real dose;
  int<lower=1> num_segments;               // from bolus to bolus to a state
  array[num_segments] real start;
  array[num_segments] vector[3] jump;      // added at the start of each, in units of `scale`
  array[num_segments] int first;           // its stretch of `times`
  array[num_segments] int last;
  int<lower=1> num_times;
  array[num_times] real times;             // every segment's reading times, and its end
  int<lower=1> num_readings;
  array[num_readings] int<lower=0> at;     // the time of each reading; 0 is the initial state
  array[num_readings] int<lower=1> state;  // what it reads
  vector<lower=0>[num_readings] value;     // geometric mean of a group
  vector<lower=1>[num_readings] n;         // its subjects
  vector<lower=0>[num_readings] spread;    // standard deviation of their logarithms
  vector[10] prior_log_median;
  vector<lower=0>[10] prior_log_sd;
  matrix[10, 10] basis;                   // identity, or a root of a covariance: with it a diagonal metric is a dense one
}
transformed data {
  vector[num_readings] log_value = log(value);
  vector[num_readings] error = spread ./ sqrt(n);
}
parameters {
  vector[10] z;                              // the logarithms of the sampled parameters, along the columns of `basis`
}
transformed parameters {
  vector[10] log_theta = basis * z;
  real gamma = exp(log_theta[1]);
  real k_l = exp(log_theta[2]);
  real k_m = exp(log_theta[3]);
  real x_l = exp(log_theta[4]);
  real w_l = exp(log_theta[5]);
  real k_r = exp(log_theta[6]);
  real w_r = exp(log_theta[7]);
  real u0 = exp(log_theta[8]);
  real t_u = exp(log_theta[9]);
  real n_u = exp(log_theta[10]);
}
model {
  array[num_times] vector[3] y;
  vector[3] begin = rest(gamma, k_l, x_l, w_l, w_r) ./ scale;
  vector[num_readings] log_f;
  {
    vector[3] now = begin;
    for (s in 1 : num_segments) {
      now += jump[s];
      if (method == 0) {
        y[first[s] : last[s]] = ode_rk45_tol(field, now, start[s], times[first[s] : last[s]], rtol, atol, max_steps,
          gamma, k_l, k_m, x_l, w_l, k_r, w_r, u0, t_u, n_u, dose_time, dose, scale);
      } else {
        y[first[s] : last[s]] = ode_bdf_tol(field, now, start[s], times[first[s] : last[s]], rtol, atol, max_steps,
          gamma, k_l, k_m, x_l, w_l, k_r, w_r, u0, t_u, n_u, dose_time, dose, scale);
      }
      now = y[last[s]];
    }
  }
  for (i in 1 : num_readings) {
    int j = state[i];
    log_f[i] = log((at[i] == 0 ? begin[j] : y[at[i], j]) * scale[j]);
  }
  log_theta ~ normal(prior_log_median, prior_log_sd);
  // A group's own spread, integrated out under the reference prior, leaves Student's t (inference/noise.py).
  log_value ~ student_t(n - 1, log_f, error);
}
