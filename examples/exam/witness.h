// Independent routes to a number: none of them knows the library's derivatives.
#pragma once

#include <functional>
#include <vector>

#include "examples/exam/ledger.h"

namespace gradus::exam {

using Function = std::function<double(double)>;
using Field = std::function<double(const std::vector<double>&)>;

// f' by fourth-order central differences, with a step of epsilon^(1/5) max(1, |x|).
double difference_of(const Function& f, double x);
// The gradient of f at x, element by element.
Values gradient_of(const Field& f, const std::vector<double>& x);
// The Jacobian, row after row, of a function of tensors that is only called, never differentiated.
Values jacobian_of(const std::function<Tensor(const Tensor&)>& f, const Tensor& x);

// The integral of f from a to b by Gauss and Legendre's rule of 20 points on equal parts. Two sizes
// of the rule must agree within 1e-10 of the integral of |f|; otherwise Error names both.
double integral(const Function& f, double a, double b, int parts = 64);

// The determinant of an n x n matrix, rows one after the other, by elimination.
double determinant(std::vector<double> matrix, int n);

// Kolmogorov and Smirnov's statistic: the square root of n times the largest distance between the
// samples' distribution and `cdf`; beyond 1.95 in one of a thousand cases.
double kolmogorov(std::vector<double> samples, const Function& cdf);

// The mean of samples and its standard error.
struct Mean {
  double value, standard_error;
};
Mean mean_of(const std::vector<double>& samples);

// n numbers from a to b.
std::vector<double> grid(double a, double b, int n);
Values each_of(const std::vector<double>& x, const Function& f);

double normal_cdf(double x);

}  // namespace gradus::exam
