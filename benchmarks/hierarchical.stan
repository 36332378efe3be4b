// Twenty subjects of the minimal feedback model, whose clearance and drive differ: a population, once more in Stan.
// What is sampled: inference/variability.py; what the data are: benchmarks/export.py. The functions are those of
// minimal.stan, which stand before this text. `z` is the unconstrained vector of our side, along the columns of `basis`.
data {
  int<lower=0, upper=1> method;            // 0: Dormand-Prince 5(4), explicit; 1: backward differentiation, implicit
  real<lower=0> rtol;
  real<lower=0> atol;                      // in units of `scale`
  int<lower=1> max_steps;                  // between two times
  vector<lower=0>[3] scale;                // natural scale of each state
  int<lower=0> num_doses;                  // boluses of LPS [ng/kg], which the stimulus takes; the same for all
  array[num_doses] real dose_time;
  array[num_doses] real dose;
  real begin;                              // just after the start [h]
  int<lower=1> num_subjects;
  int<lower=1> num_times;
  array[num_times] real times;             // of the readings of IL-6, the same for all
  matrix<lower=0>[num_subjects, num_times] value;
  real k_m;                                // what is not sampled
  real x_l;
  real w_l;
  real k_r;
  real w_r;
  real n_u;
  vector[5] prior_log_median;              // of the medians and of the noise
  vector<lower=0>[5] prior_log_sd;
  vector[2] spread_log_median;             // of the standard deviations between subjects
  vector<lower=0>[2] spread_log_sd;
  real<lower=0> concentration;             // of the correlation (LKJ)
  matrix[8 + 2 * num_subjects, 8 + 2 * num_subjects] basis;
}
transformed data {
  matrix[num_subjects, num_times] log_value = log(value);
}
parameters {
  vector[8 + 2 * num_subjects] z;
}
transformed parameters {
  vector[8 + 2 * num_subjects] position = basis * z;
  real gamma = exp(position[1]);
  real k_l = exp(position[2]);
  real u0 = exp(position[3]);
  real t_u = exp(position[4]);
  real sigma = exp(position[5]);
  vector[2] omega = exp(position[6 : 7]);
  real correlation = tanh(position[8]);
  // Deviations of clearance and drive from their medians, in units of their spread and before they are correlated.
  matrix[2, num_subjects] deviation = to_matrix(position[9 : 8 + 2 * num_subjects], 2, num_subjects, 0);
}
model {
  for (i in 1 : num_subjects) {
    real clearance = k_l * exp(omega[1] * deviation[1, i]);
    real drive = u0 * exp(omega[2] * (correlation * deviation[1, i] + sqrt(1 - square(correlation)) * deviation[2, i]));
    array[num_times] vector[3] y;
    vector[3] now = rest(gamma, clearance, x_l, w_l, w_r) ./ scale;
    if (method == 0) {
      y = ode_rk45_tol(field, now, begin, times, rtol, atol, max_steps,
        gamma, clearance, k_m, x_l, w_l, k_r, w_r, drive, t_u, n_u, dose_time, dose, scale);
    } else {
      y = ode_bdf_tol(field, now, begin, times, rtol, atol, max_steps,
        gamma, clearance, k_m, x_l, w_l, k_r, w_r, drive, t_u, n_u, dose_time, dose, scale);
    }
    for (j in 1 : num_times) {
      log_value[i, j] ~ normal(log(y[j, 2] * scale[2]), sigma);
    }
  }
  position[1 : 5] ~ normal(prior_log_median, prior_log_sd);
  position[6 : 7] ~ normal(spread_log_median, spread_log_sd);
  // LKJ(c) of two is (1 - r^2)^(c - 1) in r, and dr = (1 - r^2) dz for z = atanh(r).
  target += concentration * log1m(square(correlation));
  to_vector(deviation) ~ std_normal();
}
