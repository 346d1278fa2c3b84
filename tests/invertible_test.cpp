// find_noninvertibility: what is one to one is not refuted, and what is not is found out.
#include "gradus/nn/flows.h"
#include "gradus/tests/quadrature.h"

namespace gradus::test {
namespace {

using flows::find_noninvertibility;
using flows::Finding;
using Verdict = Finding::Verdict;

testing::AssertionResult refuted(const TensorFunction& f, std::int64_t size,
                                 flows::SearchOptions options = {}) {
  const Finding found = find_noninvertibility(f, size, options);
  if (found.verdict != Verdict::refuted) return testing::AssertionFailure() << found.reason;
  const Tensor distance = max(abs(found.x - found.y));
  if (distance.item() < 1e-3) return testing::AssertionFailure() << "one point: " << found.reason;
  return close(f(found.x), f(found.y), 1e-9) << found.reason;
}

// z1 = (x3 + x2)^3, z2 = x1^4 x2 + x3^4, z3 = exp(x3).
Tensor cubes(const Tensor& x) {
  return stack({pow(x[2] + x[1], 3.0), pow(x[0], 4.0) * x[1] + pow(x[2], 4.0), exp(x[2])}, 0);
}

TEST(Noninvertibility, FindsTheMirroredPointOfAMapWithARegularJacobian) {
  EXPECT_TRUE(refuted(cubes, 3));
  const Finding found = find_noninvertibility(cubes, 3);
  EXPECT_TRUE(close(found.y, found.x * f64_of({-1, 1, 1}), 1e-9)) << found.reason;
  EXPECT_NE(found.reason.find("f(x) = f(y) for x ="), std::string::npos);
  const Tensor j = jacobian(cubes, f64_of({0.7, -1.2, 0.4}));
  const std::vector<double> a = doubles(j);
  const double det = a[0] * (a[4] * a[8] - a[5] * a[7]) - a[1] * (a[3] * a[8] - a[5] * a[6]) +
                     a[2] * (a[3] * a[7] - a[4] * a[6]);
  EXPECT_NEAR(det, 4.71578914981745, 1e-13);
}

TEST(Noninvertibility, FindsTheNullDirectionOfASingularJacobian) {
  for (const double s : {1e-20, 1e-3, 1.0}) {
    const Tensor row = f64_of({0.3 * s, -0.7 * s}).reshape({1, 2}), a = matmul(row.t(), row);
    EXPECT_TRUE(refuted([&](const Tensor& x) { return sigmoid(matmul(a, x)); }, 2)) << s;
    const Finding found = find_noninvertibility(a);
    EXPECT_EQ(found.verdict, Verdict::refuted);
    EXPECT_TRUE(near(matmul(a, found.y) / (s * s), {0, 0}, 1e-15));
    EXPECT_NEAR(sum(square(found.y)).item(), 1, 1e-14);
    EXPECT_NE(found.reason.find("rank 1 of 2"), std::string::npos) << found.reason;
  }
  EXPECT_TRUE(refuted([](const Tensor& x) { return relu(x); }, 2));
  EXPECT_TRUE(refuted([](const Tensor& x) { return x.slice(0, 0, 2); }, 3));
}

TEST(Noninvertibility, FindsFoldsThatNoMirrorShows) {
  const auto wave = [](const Tensor& x) { return sin(2.0 * x) + 0.3 * x; };
  EXPECT_TRUE(refuted(wave, 1));
  EXPECT_TRUE(refuted([](const Tensor& x) { return square(x - 0.37) + 1.0; }, 1));
  EXPECT_TRUE(refuted([](const Tensor& x) { return stack({x[0] * x[1], x[0] + x[1]}, 0); }, 2));
}

TEST(Noninvertibility, DoesNotRefuteWhatIsOneToOne) {
  const auto unknown = [](const TensorFunction& f, std::int64_t size,
                          flows::SearchOptions options = {}) {
    const Finding found = find_noninvertibility(f, size, options);
    EXPECT_EQ(found.verdict, Verdict::unknown) << found.reason;
  };
  const flows::SearchOptions few{.starts = 8};
  unknown([](const Tensor& x) { return x * x * x; }, 1, few);
  unknown([](const Tensor& x) { return x * x * x; }, 2, few);
  unknown([](const Tensor& x) { return stack({x[0] + 1e-3 * x[1], x[0]}, 0); }, 2, few);
  unknown([](const Tensor& x) { return stack({x[0], x[1] + square(x[0])}, 0); }, 2, few);
  // Saturated to the last bit: rounding is no collision.
  unknown([](const Tensor& x) { return sigmoid(x); }, 2, {.low = 30, .high = 50, .starts = 8});
  unknown(
      [](const Tensor& x) {
        return stack({sigmoid(x[0]), x[1] - x[0]}, 0);
      },
      2, {.low = 30, .high = 50, .starts = 8});
}

TEST(Noninvertibility, CertifiesByProofAndByRank) {
  EXPECT_EQ(find_noninvertibility(eye(3, -1, f64)).verdict, Verdict::certified);
  EXPECT_EQ(find_noninvertibility(ones({3, 1}, f64)).verdict, Verdict::certified);
  EXPECT_EQ(find_noninvertibility(ones({1, 3}, f64)).verdict, Verdict::refuted);
  const flows::Transform known = flows::Composition{{flows::Exp{}, flows::Affine{1.0, -2.0}}};
  const Finding found = find_noninvertibility(known, 2);
  EXPECT_EQ(found.verdict, Verdict::certified);
  EXPECT_EQ(found.reason, "Exp is increasing; Affine is monotone");
  const flows::Transform other = flows::Composition{{flows::Exp{}, flows::Function{cubes}}};
  EXPECT_EQ(find_noninvertibility(flows::Transform(flows::Function{cubes}), 3).verdict,
            Verdict::refuted);
  EXPECT_TRUE(other.proof().empty());
}

TEST(Noninvertibility, RefusesWhatCannotBeSearched) {
  EXPECT_TRUE(throws("find_noninvertibility", "size must be positive",
                     [] { find_noninvertibility(cubes, 0); }));
  EXPECT_TRUE(throws("find_noninvertibility", "low < high",
                     [] { find_noninvertibility(cubes, 3, {.low = 1, .high = 1}); }));
  EXPECT_TRUE(throws("find_noninvertibility", "a vector of f64",
                     [] { find_noninvertibility([](const Tensor& x) { return sum(x); }, 2); }));
}

}  // namespace
}  // namespace gradus::test
