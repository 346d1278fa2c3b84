// The checker is checked: faults are seeded into the rule of every row, and every one must be
// caught.
#include "gradus/autograd/check.h"

#include <algorithm>

#include "gradus/kernels/formula.h"
#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

// What a fault does to the right gradients.
struct Fault {
  const char* name;
  // False where it would change nothing, and so is no fault of this row.
  std::function<bool(const Row&, const Tensors& x, std::size_t k, const Tensor& gradient)> applies;
  std::function<void(const Row&, const Tensors& x, const Tensor& y, const Tensor& g, std::size_t k,
                     Tensors& gradients)>
      seed;
  int order = 1;
};

double largest(const Tensor& t) {
  double m = 0;
  for (double v : doubles(t)) m = std::max(m, std::abs(v));
  return m;
}
bool matters(const Row&, const Tensors&, std::size_t, const Tensor& d) { return largest(d) > 0.02; }
bool always(const Row&, const Tensors&, std::size_t, const Tensor& d) { return d.numel() > 0; }

Tensor spike(const Tensor& like, double value) {
  Tensor t = zeros(like.shape(), like.dtype());
  t.mutable_data<double>()[t.numel() / 2] = value;
  return t;
}
Tensor largest_spike(const Tensor& like) {
  const std::vector<double> v = doubles(like);
  Tensor t = zeros(like.shape(), like.dtype());
  const auto at = std::max_element(v.begin(), v.end(),
                                   [](double a, double b) { return std::abs(a) < std::abs(b); });
  t.mutable_data<double>()[at - v.begin()] = 1;
  return t;
}

const std::vector<Fault> faults = {
    {"sign", matters, [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) { d[k] = -d[k]; }},
    {"dropped", matters,
     [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) { d[k] = d[k] * 0.0; }},
    {"one element dropped", matters,
     [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) {
       d[k] = d[k] * (1.0 - largest_spike(d[k].detach()));
     }},
    {"factor 1 + 1e-6", matters,
     [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) { d[k] = d[k] * (1 + 1e-6); }},
    {"NaN", always,
     [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) { d[k] = d[k] + spike(d[k], nan); }},
    {"one element off by 1e-6", always,
     [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) {
       d[k] = d[k] + spike(d[k], 1e-6 * std::max(1.0, largest(d[k])));
     }},
    // The gradient of an expanded input, its first slice taken for the sum over the broadcast.
    {"broadcast not summed",
     [](const Row& row, const Tensors& x, std::size_t k, const Tensor& d) {
       if (!row.elementwise() || x.size() < 2) return false;
       const NoGrad off;
       return row.f(x).numel() > x[k].numel() && largest(d) > 0.02;
     },
     [](const Row& row, const Tensors& x, const Tensor& y, const Tensor& g, std::size_t k,
        Tensors& d) {
       Tensors wide = x;
       wide[k] = expand(x[k], y.shape());
       Tensor full = vjp(row.f, wide).pullback(g)[k];
       while (full.dim() > x[k].dim()) full = full.slice(0, 0, 1).squeeze(0);
       for (int a = 0; a < x[k].dim(); ++a)
         if (x[k].size(a) == 1) full = full.slice(a, 0, 1);
       d[k] = full;
     }},
    // The right numbers, cut off from the graph: silent until the second order.
    {"gradient without its graph", matters,
     [](auto&, auto&, auto&, auto&, std::size_t k, Tensors& d) { d[k] = d[k].detach(); }, 2},
};

Tensor broken(const Row& row, const Fault& fault, std::size_t k, const Tensors& x) {
  return custom("broken", x, row.f,
                [&row, &fault, k](const Tensors& in, const Tensor& y, const Tensor& g) {
                  Tensors d = vjp(row.f, in).pullback(g);
                  fault.seed(row, in, y, g, k, d);
                  return d;
                });
}

CheckOptions options_for(const Fault& fault) {
  return {.order = fault.order, .directions = 1, .elementwise = true};
}

TEST(Checker, CatchesEverySeededFault) {
  int seeded = 0, caught = 0;
  for_rows_on_cpu([&](const Row& row) {
    if (!row.differentiable) return;
    int here = 0;
    // The first call, and the first that broadcasts.
    std::vector<std::size_t> calls{0};
    for (std::size_t c = 1; c < row.calls.size(); ++c) {
      if (!row.elementwise() || row.calls[c].size() < 2) break;
      if (row.calls[c][0] == row.calls[c][1]) continue;
      calls.push_back(c);
      break;
    }
    for (std::size_t c : calls) {
      const Tensors x = sample(row, c);
      const Tensors right = [&] {
        const Vjp<Tensors> v = vjp(row.f, x);
        return v.pullback(ones(v.y.shape(), f64));
      }();
      for (const Fault& fault : faults)
        for (std::size_t k = 0; k < x.size(); ++k) {
          if (!fault.applies(row, x, k, right[k])) continue;
          const TensorsFunction f = [&](const Tensors& at) { return broken(row, fault, k, at); };
          if (fault.order == 2) {
            // Where the gradient is constant there is nothing to lose.
            const CheckResult whole = check_gradients(row.f, x, options_for(fault));
            EXPECT_TRUE(whole.ok) << whole.text;
            bool constant = true;
            const Tensors moved = sample(row, c, 77);
            const Vjp<Tensors> v = vjp(row.f, moved);
            const Tensor other = v.pullback(ones(v.y.shape(), f64) * 3.0)[k];
            constant = same_bits(other, right[k]);
            if (constant) continue;
          }
          ++seeded;
          ++here;
          const CheckResult r = check_gradients(f, x, options_for(fault));
          EXPECT_FALSE(r.ok) << "not caught: " << fault.name << " in input " << k << ", call " << c
                             << ", worst " << r.worst;
          caught += !r.ok;
        }
    }
    EXPECT_GT(here, 0) << "no fault was seeded";
  });
  EXPECT_GE(seeded, 100);
  EXPECT_EQ(caught, seeded);
  RecordProperty("seeded_faults", seeded);
}

TEST(Checker, TheSameWrapperWithoutAFaultPasses) {
  const Fault none{"none", always, [](auto&, auto&, auto&, auto&, std::size_t, Tensors&) {}};
  for_rows_on_cpu([&](const Row& row) {
    if (!row.differentiable) return;
    const Tensors x = sample(row, 0);
    const CheckResult r =
        check_gradients([&](const Tensors& at) { return broken(row, none, 0, at); }, x,
                        {.order = 2, .directions = 1});
    EXPECT_TRUE(r.ok) << r.text;
  });
}

TEST(Checker, RandomDirectionsAloneCatchFaults) {
  const Row& row = *std::find_if(table().begin(), table().end(),
                                 [](const Row& r) { return r.name == "matmul"; });
  const Tensors x = sample(row, 0);
  for (const Fault& fault : faults) {
    if (fault.order != 1 || !fault.applies(row, x, 1, ones({2, 2}, f64))) continue;
    const CheckResult r =
        check_gradients([&](const Tensors& at) { return broken(row, fault, 1, at); }, x,
                        {.directions = 3, .elementwise = false});
    EXPECT_FALSE(r.ok) << fault.name;
  }
}

TEST(Checker, ComparingNothingIsNotPassing) {
  const CheckResult r =
      check_gradients([](const Tensors& x) { return x[0] * 2.0; }, {zeros({0}, f64)});
  EXPECT_FALSE(r.ok);
  EXPECT_NE(r.text.find("nothing was compared"), std::string::npos) << r.text;
  const CheckResult off =
      check_gradients([](const Tensors& x) { return x[0] * 2.0; }, {ones({2}, f64)},
                      {.directions = 0, .elementwise = false});
  EXPECT_FALSE(off.ok);
}

TEST(Checker, SaysWhatItSaw) {
  const CheckResult good =
      check_gradients([](const Tensors& x) { return exp(x[0]); }, {ones({3}, f64)}, {.order = 2});
  EXPECT_TRUE(good.ok) << good.text;
  EXPECT_LT(good.worst, 1);
  EXPECT_GT(good.comparisons, 10);
  // A linear function has no remainder: the slope is skipped, and the text says so.
  const CheckResult linear =
      check_gradients([](const Tensors& x) { return x[0] * 2.0; }, {ones({3}, f64)});
  EXPECT_TRUE(linear.ok);
  EXPECT_NE(linear.text.find("skipped"), std::string::npos) << linear.text;
  const CheckResult bad = check_gradients(
      [](const Tensors& x) {
        return custom(
            "half", x, [](const Tensors& v) { return square(v[0]); },
            [](const Tensors& v, const Tensor&, const Tensor& g) { return Tensors{g * v[0]}; });
      },
      {full({2}, 3, f64)});
  EXPECT_FALSE(bad.ok);
  EXPECT_GT(bad.worst, 1e3);
  for (const char* part : {"input 0", "element 1", "rule", "witness"})
    EXPECT_NE(bad.text.find(part), std::string::npos) << bad.text;
}

TEST(Checker, RefusesWhatItCannotCheck) {
  const TensorsFunction f = [](const Tensors& x) { return x[0] * 2.0; };
  EXPECT_TRUE(
      throws("check_gradients", "input 0 is f32", [&] { check_gradients(f, {ones({2})}); }));
  EXPECT_TRUE(throws("check_gradients", "undefined", [&] { check_gradients(f, {Tensor()}); }));
  EXPECT_TRUE(throws("check_gradients", "order",
                     [&] { check_gradients(f, {ones({2}, f64)}, {.order = 3}); }));
  EXPECT_TRUE(throws("check_gradients", "f64", [] {
    check_gradients([](const Tensors& x) { return x[0].to(f32); }, {ones({2}, f64)});
  }));
}

struct WrongDf {
  template <class V>
  auto operator()(const V& x) const {
    return x * x;
  }
  template <class V>
  V df(const V& g, const V& x, const V&) const {
    return g * (2.0 * x) * (1 + 1e-9);
  }
};

TEST(Checker, FormulasByTheirDualReading) {
  const std::vector<std::vector<double>> points = {{0.3}, {-1.2}, {2.5}};
  EXPECT_TRUE(check_formula<1>(formula::Tanh{}, points).ok);
  const CheckResult wrong = check_formula<1>(WrongDf{}, points);
  EXPECT_FALSE(wrong.ok);
  EXPECT_NE(wrong.text.find("df of"), std::string::npos) << wrong.text;
  const auto hypotenuse = [](const auto& a, const auto& b) { return sqrt(a * a + b * b); };
  EXPECT_TRUE((check_formula<2>(hypotenuse, {{3, 4}, {-0.5, 0.2}}).ok));
  EXPECT_THROW((check_formula<2>(hypotenuse, {{3}})), Error);
}

// Every formula of one operand in the library: dual reading against differences, df against dual.
TEST(Checker, TheLibrarysFormulas) {
  const std::vector<std::vector<double>> all = {{-1.1}, {-0.9}, {-0.3}, {0.2}, {0.7}, {1.1}};
  const std::vector<std::vector<double>> positive = {{0.4}, {0.7}, {1.3}, {2.6}};
  const auto check = [](const char* name, const CheckResult& r) {
    EXPECT_TRUE(r.ok) << name << ": " << r.text;
  };
#define GRADUS_CHECK(function, Formula)                                                         \
  check(#function,                                                                              \
        check_formula<1>(formula::Formula{}, std::string(#function).find("log") == 0 ||         \
                                                     std::string(#function).find("sqrt") < 2 || \
                                                     std::string(#function) == "reciprocal"     \
                                                 ? positive                                     \
                                                 : all));
  GRADUS_ALGEBRAIC_FORMULAS(GRADUS_CHECK)
  GRADUS_TRANSCENDENTAL_FORMULAS(GRADUS_CHECK)
#undef GRADUS_CHECK
  check("gelu", check_formula<1>(formula::GeluExact{}, all));
  check("gelu", check_formula<1>(formula::GeluTanh{}, all));
  check("gelu", check_formula<1>(formula::GeluSigmoid{}, all));
}

}  // namespace
}  // namespace gradus::test
