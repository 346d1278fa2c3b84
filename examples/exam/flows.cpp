// D1: which maps make a normalising flow.
#include <cmath>

#include "examples/exam/problems.h"
#include "examples/exam/witness.h"

namespace gradus::exam {
namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

void rank_one(Exam& exam) {
  const std::vector<double> a = {0.6, -1.1}, x0 = {0.4, 0.9};
  const auto matrix = [&](double scale) {
    const Tensor row = exam.tensor({scale * a[0], scale * a[1]}, {1, 2});
    return matmul(row.transpose(0, 1), row);
  };
  const double more = exam.seeded("a second direction", 0., 0.3);
  const Tensor A = matrix(1) + more * eye(2, 2, DType::f64, exam.device);
  const auto f = [&](const Tensor& x) { return sigmoid(matmul(A, x)); };
  const Tensor x = exam.tensor(x0);

  const Tensor j = jacobian(f, x);
  Values closed;
  for (int i = 0; i < 2; ++i) {
    const double t = logistic(a[static_cast<std::size_t>(i)] * (a[0] * x0[0] + a[1] * x0[1]));
    for (int k = 0; k < 2; ++k)
      closed.push_back(t * (1 - t) * a[static_cast<std::size_t>(i)] *
                       a[static_cast<std::size_t>(k)]);
  }
  exam.compare("J = diag(σ′(Ax)) A",
               {.autodiff = j, .closed = closed, .independent = jacobian_of(f, x)}, derivative(),
               difference());
  exam.compare("det J = 0",
               {.autodiff = linalg::det(j), .closed = 0., .independent = determinant(Values(j), 2)},
               identity({std::abs(closed[0] * closed[3])}));
  // (a_2, -a_1) is orthogonal to a.
  const Tensor moved = x + exam.tensor({2 * a[1], -2 * a[0]});
  exam.compare("two points, one image", {.autodiff = f(moved), .closed = f(x)}, identity({1}));
  Values ranks, ones;
  for (double scale = 1e-20; scale < 1e21; scale *= 1e5) {
    ranks.push_back(static_cast<double>(
        flows::rank(matrix(scale) + scale * scale * more * eye(2, 2, DType::f64, exam.device))));
    ones.push_back(1);
  }
  exam.compare("rank A, for a from 1e-20 to 1e20", {.autodiff = ranks, .closed = ones}, exactly());
  exam.refuses("a flow of A", [&] { flows::Linear{A}; }, {"singular", "rank 1"});
  exam.refuses("a flow of σ(Ax)", [&] { flows::Function{f}.log_det(x); }, {"singular", "rank 1"});
  const flows::Finding found = flows::find_noninvertibility(A);
  exam.holds("the flow API finds a pair", found.verdict == flows::Finding::Verdict::refuted,
             found.reason);
}

Tensor cubes(const Tensor& x) {
  const Tensor x1 = x[0], x2 = x[1], x3 = x[2], sum = x3 + x2;
  return stack({sum * sum * sum, square(square(x1)) * x2 + square(square(x3)), exp(x3)}, 0);
}

void not_injective(Exam& exam) {
  const auto closed = [&](const std::vector<double>& x) {
    const double sign = exam.seeded("a wrong sign", -12., 12.);
    return sign * std::exp(x[2]) * std::pow(x[0], 3) * x[1] * std::pow(x[1] + x[2], 2);
  };
  std::vector<std::vector<double>> points = {{0.7, -1.2, 0.4}};
  Generator generator(2);
  for (int i = exam.quick ? 8 : 2; i < 10; ++i)
    points.push_back(Values(randn({3}, generator, DType::f64)));
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Tensor x = exam.tensor(points[i]);
    const Values j = jacobian_of(cubes, x);
    double magnitude = 1;
    for (int row = 0; row < 3; ++row) {
      double largest = 0;
      for (int k = 0; k < 3; ++k)
        largest = std::max(largest, std::abs(j[static_cast<std::size_t>(3 * row + k)]));
      magnitude *= largest;
    }
    exam.compare(i ? "det J at random point " + std::to_string(i) : "det J at (0.7, -1.2, 0.4)",
                 {.autodiff = linalg::det(jacobian(cubes, x)),
                  .closed = closed(points[i]),
                  .independent = determinant(j, 3)},
                 derivative(), difference(4, {magnitude}));
  }
  exam.compare("the reference number", {.autodiff = closed(points[0]), .closed = 4.71578914981745},
               stated("its 15 digits", 5e-15));
  const Tensor x = exam.tensor({0.7, -1.2, 0.4}), mirrored = exam.tensor({-0.7, -1.2, 0.4});
  exam.compare("x₁ → -x₁: one image", {.autodiff = cubes(mirrored), .closed = cubes(x)}, exactly());
  const flows::Finding found = flows::find_noninvertibility(TensorFunction(cubes), 3);
  exam.holds("the flow API finds a collision", found.verdict == flows::Finding::Verdict::refuted,
             found.reason);
  if (found.verdict == flows::Finding::Verdict::refuted) {
    const Values here = cubes(found.x), there = cubes(found.y);
    const Values scale = each_of(here, [](double y) { return 1e-9 * std::max(1., std::abs(y)); });
    exam.compare("its images", {.autodiff = here, .closed = there}, stated("collision", scale));
  }
}

void volume_preserving(Exam& exam) {
  using flows::Flow;
  Generator generator(3);
  const Tensor w = randn({1, 1}, generator, DType::f64).to(exam.device);
  const TensorFunction shift = [w](const Tensor& x) { return tanh(matmul(x, w)) * 2.0; };
  const double stretch = exam.seeded("a stretch", 1., 1.01);
  const std::vector<flows::Transform> translation = {flows::Affine{0.7, stretch}};
  const std::vector<flows::Transform> coupling = {flows::AdditiveCoupling{1, shift}};

  const Tensor x = randn({exam.quick ? 50 : 400, 2}, generator, DType::f64).to(exam.device);
  const distributions::Normal base{zeros({2}, DType::f64, exam.device), 1.};
  const auto log_base = [](double a, double b) {
    return -(a * a + b * b) / 2 - std::log(2 * M_PI);
  };
  for (const auto& [name, transforms] :
       {std::pair("x + b", translation), std::pair("additive coupling", coupling)}) {
    const flows::Composition f{transforms};
    const Values zero(std::vector<double>(static_cast<std::size_t>(f.log_det(x).numel())));
    exam.compare(std::string("log |det J| of ") + name, {.autodiff = f.log_det(x), .closed = zero},
                 exactly());
    const Tensor z = f.forward(x);
    const Flow<distributions::Normal> flow{base, transforms};
    Values expected;
    const Values at = x;
    for (std::size_t i = 0; i < at.size(); i += 2) expected.push_back(log_base(at[i], at[i + 1]));
    Tensor log_prob = flow.log_prob(z);
    if (log_prob.dim() == 2) log_prob = sum(log_prob, -1);
    exam.compare(std::string("p₂(f(x)) = p₁(x), ") + name,
                 {.autodiff = exp(log_prob),
                  .closed = each_of(expected, [](double l) { return std::exp(l); })},
                 derivative());
    // The Jacobian by differences, in the middle of the batch.
    const Tensor one = x[0];
    exam.compare(
        std::string("its determinant by differences, ") + name,
        {.autodiff = linalg::det(jacobian([&](const Tensor& y) { return f.forward(y); }, one)),
         .closed = 1.,
         .independent =
             determinant(jacobian_of([&](const Tensor& y) { return f.forward(y); }, one), 2)},
        derivative(), difference());
  }
  // Entropy along the line, of the library's density after the map and of the normal one before it.
  const std::vector<double> nodes = grid(-11.3, 12.7, 801);
  const Flow<distributions::Normal> moved{{0., 1.}, translation};
  const Tensor log_p = moved.log_prob(exam.tensor(nodes));
  exam.compare("differential entropy, before and after x + b",
               {.autodiff = Values(-sum(exp(log_p) * log_p) * (nodes[1] - nodes[0])),
                .closed = std::log(2 * M_PI * std::exp(1.0)) / 2,
                .independent = integral(
                    [](double x) {
                      const double log_q = -x * x / 2 - std::log(2 * M_PI) / 2;
                      return -std::exp(log_q) * log_q;
                    },
                    -12, 12)},
               quadrature());
  // In two dimensions volume stays and the density's shape does not.
  const Tensor z = flows::Composition{coupling}.forward(x);
  const Values before = base.log_prob(z),
               after = Flow<distributions::Normal>{base, coupling}.log_prob(z);
  double largest = 0;
  for (std::size_t i = 0; i < after.size(); ++i)
    largest = std::max(largest, std::abs(after[i] - before[2 * i] - before[2 * i + 1]));
  exam.holds("the coupled density has another shape", largest > 0.1);
}

}  // namespace

std::vector<Statement> flow_maps() {
  return {
      {"D1a", "z = σ(Ax) with A = aᵀa is no flow: A has rank 1",
       "A sigmoid of a linear map of rank one has a singular Jacobian everywhere: a plane of "
       "points shares each image, and no density can be carried through.",
       "det J = det(diag(σ′(Ax)) a^⊤ a) = 0", rank_one,
       "The rank is judged by singular values against the largest, so no scale of a changes it."},
      {"D1b", "(x₃+x₂)³, x₁⁴x₂+x₃⁴, e^x₃ is not injective",
       "Points that differ in the sign of their first coordinate meet.",
       "det J = -12 e^{x_3} x_1^3 x_2 (x_2 + x_3)^2", not_injective,
       "The counterexample needs x₁ ≠ 0. The determinant also vanishes on x₂ = 0 and on x₃ = -x₂."},
      {"D1c", "|det J| = 1 preserves volume: p₂(x) = p₁(f⁻¹(x))",
       "A translation and an additive coupling layer move probability without changing its "
       "density.",
       "|det J| = 1 ⇒ p_2(f(x)) = p_1(x)", volume_preserving,
       "That the entropy stays is true of both. In more than one dimension an additive coupling "
       "preserves volume and still changes the density's shape."},
  };
}

}  // namespace gradus::exam
