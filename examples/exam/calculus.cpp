// M10, M34: eigenvalues and determinants, and an activation's derivative.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

void eigenvalues(Exam& exam) {
  const double factor = exam.seeded("another matrix", 10. / 3, 3.);
  const double n[] = {1, -1, 1};
  Values rows;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) rows.push_back(4. * (i == j) - factor * n[i] * n[j]);
  const Tensor A = exam.tensor(rows, {3, 3}).requires_grad_();
  exam.compare("eigenvalues", {.autodiff = linalg::eigh(A).values, .closed = {-6, 4, 4}},
               derivative());
  exam.compare("det",
               {.autodiff = linalg::det(A), .closed = -96., .independent = determinant(rows, 3)},
               derivative());
  const auto [sign, logarithm] = linalg::slogdet(A);
  exam.compare(
      "sign and log |det|",
      {.autodiff = {Values(sign)[0], Values(logarithm)[0]}, .closed = {-1, std::log(96.0)}},
      derivative());
  exam.compare("trace", {.autodiff = sum(A * eye(3, 3, DType::f64, exam.device)), .closed = 2.},
               identity({14}));
  for (const std::vector<double>& v : {std::vector<double>{1, 2, 1}, {1, 1, 0}}) {
    Values fourfold = v;
    for (double& x : fourfold) x *= 4;
    exam.compare("A v = 4 v", {.autodiff = matmul(A, exam.tensor(v)), .closed = fourfold},
                 identity({32}));
  }
  // The inverse of a symmetric matrix with these eigenvectors, in closed form.
  Values inverse;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      inverse.push_back((i == j) / 4. + (-1. / 6 - 1. / 4) * n[i] * n[j] / 3);
  exam.compare(
      "∇ log |det A| = A⁻ᵀ",
      {.autodiff = grad(logarithm, {A})[0],
       .closed = inverse,
       .independent = gradient_of(
           [](const std::vector<double>& m) { return std::log(std::abs(determinant(m, 3))); },
           rows)},
      derivative(), difference());
}

constexpr double c = 1.702;

double logistic(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

void sigmoid_gelu(Exam& exam) {
  const std::vector<double> points = grid(-6, 6, exam.quick ? 49 : 241);
  const auto value = [](double z) { return z * logistic(c * z); };
  const auto slope = [](double z) { return logistic(c * z) * (1 + c * z * logistic(-c * z)); };
  const Tensor z = exam.tensor(points).requires_grad_();
  const Tensor y = gelu(z, Gelu::sigmoid);
  const Tensor first = grad(sum(y), {z}, {.create_graph = true})[0];
  const double sign = exam.seeded("a wrong sign", 1., -1.);
  exam.compare("φ′",
               {.autodiff = first,
                .closed = each_of(points,
                                  [&](double x) {
                                    return logistic(c * x) * (1 + sign * c * x * logistic(-c * x));
                                  }),
                .independent = each_of(points, [&](double x) { return difference_of(value, x); })},
               derivative(), difference());
  exam.compare("φ″",
               {.autodiff = grad(sum(first), {z})[0],
                .closed = each_of(points,
                                  [](double x) {
                                    const double s = logistic(c * x), t = s * logistic(-c * x);
                                    return c * t * (2 + c * x * (1 - 2 * s));
                                  }),
                .independent = each_of(points, [&](double x) { return difference_of(slope, x); })},
               derivative(), difference());
  const Tensor mirrored = gelu(-z, Gelu::sigmoid);
  exam.compare("φ(z) - φ(-z) = z", {.autodiff = y - mirrored, .closed = points}, identity(points));
  const auto slope_at = [&](const std::vector<double>& at) {
    const Tensor t = exam.tensor(at).requires_grad_();
    return Values(grad(sum(gelu(t, Gelu::sigmoid)), {t})[0]);
  };
  std::vector<double> negated;
  for (const double x : points) negated.push_back(-x);
  Values sums = slope_at(points);
  const Values others = slope_at(negated);
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += others[i];
  exam.compare("φ′(z) + φ′(-z) = 1", {.autodiff = sums, .closed = 1.}, identity({2}));
  exam.compare("φ′(0) = ½, and its extremes",
               {.autodiff = slope_at({0, 1.4097281319127304, -1.4097281319127304}),
                .closed = {.5, 1.0998393201288668, -0.0998393201288668}},
               derivative());
  // The least value, by Newton's method on the derivative.
  double least = -0.75;
  for (int round = 0; round < 50; ++round) {
    const Tensor t = exam.tensor({least}).requires_grad_();
    const Tensor g = grad(sum(gelu(t, Gelu::sigmoid)), {t}, {.create_graph = true})[0];
    least -= Values(g)[0] / Values(grad(sum(g), {t})[0])[0];
  }
  // There -1 - cz = W(1/e), the solution of W e^W = 1/e, and φ = -W / c.
  double w = 0.3;
  for (int round = 0; round < 50; ++round) w -= (w - std::exp(-1 - w)) / (1 + std::exp(-1 - w));
  exam.compare("min φ = -W(1/e) / c",
               {.autodiff = gelu(exam.tensor({least}), Gelu::sigmoid), .closed = -w / c},
               derivative());
  exam.compare("the reference number, cut after 9 digits",
               {.closed = -0.163610189, .independent = -w / c}, stated("its 9 digits", 1e-9));
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Tensor ends = exam.tensor({-INFINITY, INFINITY, -1e4, 1e4}, dtype).requires_grad_();
    const Tensor there = gelu(ends, Gelu::sigmoid);
    exam.compare("φ at ∓∞ and ∓10⁴", {.autodiff = there, .closed = {0, INFINITY, 0, 1e4}},
                 exactly());
    exam.compare("φ′ there: 0 and 1",
                 {.autodiff = grad(sum(there), {ends})[0], .closed = {0, 1, 0, 1}}, exactly());
  }
  // f32 beside f64, in units of the last place, to +-1e4.
  const std::vector<double> wide = grid(-1e4, 1e4, exam.quick ? 2'001 : 200'001);
  std::vector<double> at;
  for (const double x : wide)
    at.push_back(static_cast<float>(x / 100)), at.push_back(static_cast<float>(x));
  const Values exact = each_of(at, value);
  Values within = ulps(1, exact, DType::f32).bounds;
  for (std::size_t i = 0; i < at.size(); ++i)
    within[i] = std::min((4 + 2 * std::abs(c * at[i])) * within[i],
                         0x1p-23 * std::max(1.0, std::abs(exact[i])));
  exam.compare("f32: (4 + 2|cz|) ULP, and |error| ≤ 2⁻²³ max(1, |φ|)",
               {.autodiff = gelu(exam.tensor(at, DType::f32), Gelu::sigmoid), .closed = exact},
               stated("both", within));
  // Between the three forms.
  const Tensor near = exam.tensor({2.2704, -2.2704});
  exam.compare(
      "sup |exact - sigmoid form|, at ±2.2704",
      {.autodiff = abs(gelu(near) - gelu(near, Gelu::sigmoid)), .closed = {0.0203349, 0.0203349}},
      stated("its 7 digits", 5e-8));
  const Tensor line = exam.tensor(grid(-6, 6, 24'001));
  exam.compare("sup |exact - tanh form|",
               {.autodiff = max(abs(gelu(line) - gelu(line, Gelu::tanh))), .closed = 4.7324e-4},
               stated("its 5 digits", 5e-9));

  examples::Chart values{"GELU (sigmoid form) beside ReLU", "z", "", {{"φ", {}}, {"ReLU", {}}}};
  examples::Chart slopes{
      "Their derivatives: alike far from 0, unlike near it", "z", "", {{"φ′", {}}, {"ReLU′", {}}}};
  for (const double x : grid(-5, 5, 401)) {
    values.series[0].points.emplace_back(x, value(x)),
        values.series[1].points.emplace_back(x, std::max(0.0, x));
    slopes.series[0].points.emplace_back(x, slope(x)),
        slopes.series[1].points.emplace_back(x, x > 0);
  }
  exam.show(values), exam.show(slopes);
}

}  // namespace

std::vector<Statement> eigenvalue_problems() {
  return {{"M10", "A with eigenvectors (1,2,1), (1,1,0) for 4, trace 2: det -96",
           "Trace 2 leaves -6 for the third eigenvalue; A = 4I - (10/3)nnᵀ with n = (1,-1,1) has "
           "them all.",
           "∇_A log |det A| = A^{-⊤} , λ = (4, 4, -6)", eigenvalues}};
}

std::vector<Statement> activations() {
  return {{"M34", "φ(z) = zσ(cz): φ′ = σ(cz)(1 + cz(1-σ(cz))) → 0 and 1",
           "The sigmoid form of GELU has ReLU's derivative far from 0, and not near it.",
           "φ′(z) = σ(c z)(1 + c z(1 - σ(c z))) , c = 1.702", sigmoid_gelu}};
}

}  // namespace gradus::exam
