// The kernels of every formula, emulated: values and gradients, layouts, sums over broadcast axes.
#include "gradus/kernels/loss_formula.h"
#include "gradus/kernels/nn_formula.h"
#include "gradus/tests/cuda/coupling.h"
#include "gradus/tests/emulated_map.h"

namespace gradus::test {
namespace {

Extents nest(std::vector<std::int64_t> sizes) {
  Extents e;
  for (std::int64_t n : sizes) e.size[e.rank++] = n;
  return e;
}

// Numbers about 0, among them special ones where asked for.
template <class S>
auto numbers(bool special = false) {
  using T = computed<S>;
  using Limits = std::numeric_limits<T>;
  return [special, random = std::mt19937(7), next = std::size_t{0}]() mutable -> S {
    if constexpr (std::is_integral_v<S>) {
      const S edges[] = {0, 1, -1, Limits::max(), Limits::min()};  // they wrap
      if (special && next < std::size(edges)) return edges[next++];
      return static_cast<S>(static_cast<int>(random() % 19) - 9);
    } else {
      const T edges[] = {
          T(0),   T(-0.0), T(1),     T(-1),    Limits::infinity(),  -Limits::infinity(),
          T(0.5), T(-0.5), T(1.5),   T(2.5),   Limits::quiet_NaN(), T(-50),
          T(50),  T(1e30), T(-1e30), T(1e-30), T(-1e-30),           Limits::denorm_min()};
      if (special && next < std::size(edges)) return S(edges[next++]);
      return S(static_cast<T>(std::uniform_real_distribution<double>(-4, 4)(random)));
    }
  };
}

template <class F, class S>
F sample() {
  if constexpr (std::is_empty_v<F>)
    return F{};
  else if constexpr (std::is_same_v<F, formula::Clamp>)
    return F{-0.75, 1.25};
  else if constexpr (std::is_same_v<F, formula::WhereConstant>)
    return F{0.25, true};
  else
    return F{std::is_integral_v<S> ? 3.0 : 1.5};
}

// Where both sides may differ: by `ulp` of the value, or of `scale` if that is larger.
struct Precision {
  double ulp = 0, scale = 0;

  // bf16 has 16 bits fewer, and two numbers that are close may be rounded to neighbours.
  template <class S>
  double allowed() const {
    return ulp + (ulp > 0 && std::is_same_v<S, bf16> ? 65536 : 0);
  }
};
// Each side's functions have errors of their own, which grow where terms cancel.
constexpr Precision exact{}, functions{6}, cancelling{12, 1};

template <class F, class S, int K>
void check_values(const EmulatedMap<F, S, K>& map, std::int64_t n, Precision precision) {
  using T = computed<S>;
  const std::vector<T> y = map.value();
  ASSERT_EQ(std::ssize(y), n);
  for (std::int64_t i = 0; i < n; ++i) {
    const T got = y[static_cast<std::size_t>(i)], expected = map.expected(i);
    if constexpr (std::is_integral_v<S> || EmulatedMap<F, S, K>::comparison) {
      ASSERT_EQ(got, expected) << "at " << i;
    } else {
      const T stored = static_cast<T>(S(expected));
      ASSERT_LE(error_in_ulp(got, stored, precision.scale), precision.allowed<S>())
          << "f(" << ::testing::PrintToString(map.inputs(i)) << ") = " << got << ", not " << stored;
    }
  }
}

template <class F, class S, int K>
void check_gradients(const EmulatedMap<F, S, K>& map, unsigned wanted, Precision precision) {
  using T = computed<S>;
  const auto d = map.gradients(wanted);
  const auto check = [&](auto k) {
    if (!(wanted >> k & 1)) return;
    const auto sums = map.template expected_sums<k>();
    ASSERT_EQ(d[k].size(), sums.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const auto [sum, magnitude] = sums[i];
      const double expected = static_cast<T>(S(static_cast<T>(sum)));
      // The device sums in double.
      const bool sums_many = map.count(k) < map.count();
      const double scale =
          std::max(static_cast<double>(sums_many ? magnitude : 0), precision.scale);
      const double slack = !sums_many ? 0 : std::is_same_v<S, double> ? 16 : 1;
      ASSERT_LE(error_in_ulp(d[k][i], expected, scale), precision.allowed<S>() + slack)
          << "input " << k << ", sum " << i << ": " << d[k][i] << ", not " << expected;
    }
  };
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (check(std::integral_constant<int, static_cast<int>(I)>{}), ...);
  }
  (std::make_index_sequence<K>{});
}

template <class F, class S, int K>
void check_type(const Extents& e, const std::vector<Place>& places, std::int64_t skip = 0,
                bool special = false, Precision value = exact, Precision gradient = exact) {
  const EmulatedMap<F, S, K> map(sample<F, S>(), e, places, skip, numbers<S>(special));
  check_values(map, e.count(), value);
  if constexpr (!std::is_integral_v<S> && !EmulatedMap<F, S, K>::comparison)
    check_gradients(map, (1u << K) - 1, gradient);
}

template <class F, int K, bool integers>
void check_formula(Precision value, Precision gradient) {
  SCOPED_TRACE(F::name);
  const DeviceMap* const map = emulated::find_map(typeid(F), K);
  ASSERT_TRUE(map && map->value[0] && map->value[1] && map->value[4]);
  ASSERT_EQ(integers, map->value[2] && map->value[3]);
  // A whole tile, and a part of one with special numbers.
  const Extents few = nest({45}), tile = nest({2100});
  const std::vector<Place> contiguous{Place::contiguous};
  check_type<F, float, K>(tile, contiguous, 0, false, value, gradient);
  check_type<F, float, K>(few, contiguous, 0, true, value, gradient);
  check_type<F, double, K>(few, contiguous, 0, true, value, gradient);
  check_type<F, bf16, K>(few, contiguous, 0, true, value, gradient);
  if constexpr (integers) {
    check_type<F, std::int32_t, K>(few, contiguous, 0, true);
    check_type<F, std::int64_t, K>(few, contiguous, 0, true);
  }
  if constexpr (K > 1) {
    check_type<F, float, K>(nest({5, 9}), {Place::contiguous, Place::last_axis, Place::scalar}, 0,
                            false, value, gradient);
    check_type<F, double, K>(nest({6, 8}), {Place::first_axis, Place::contiguous}, 0, false, value,
                             gradient);
  }
}

template <class F>
constexpr bool cancels =
    std::is_same_v<F, formula::Silu> || std::is_same_v<F, formula::GeluExact> ||
    std::is_same_v<F, formula::GeluTanh> || std::is_same_v<F, formula::GeluSigmoid>;
template <class F>
void check_transcendental() {
  check_formula<F, 1, false>(cancels<F> ? cancelling : functions, cancelling);
}

TEST(CudaMap, AlgebraicFormulas) {
#define GRADUS_CHECK(function, Formula)                                            \
  {                                                                                \
    constexpr bool approximate = std::is_same_v<formula::Formula, formula::Rsqrt>; \
    check_formula<formula::Formula, 1, false>(approximate ? functions : exact,     \
                                              approximate ? functions : exact);    \
  }
  GRADUS_ALGEBRAIC_FORMULAS(GRADUS_CHECK)
#undef GRADUS_CHECK
#define GRADUS_CHECK(Formula, inputs, integers) \
  check_formula<formula::Formula, inputs, integers>(exact, exact);
  GRADUS_ALGEBRAIC_FORMULAS_OF_ONE(GRADUS_CHECK)
#undef GRADUS_CHECK
}
TEST(CudaMap, TranscendentalFormulas) {
#define GRADUS_CHECK(function, Formula) check_transcendental<formula::Formula>();
  GRADUS_TRANSCENDENTAL_FORMULAS(GRADUS_CHECK)
#undef GRADUS_CHECK
#define GRADUS_CHECK(Formula, inputs, integers) check_transcendental<formula::Formula>();
  GRADUS_TRANSCENDENTAL_FORMULAS_OF_ONE(GRADUS_CHECK)
#undef GRADUS_CHECK
}
TEST(CudaMap, FormulasOfSeveral) {
#define GRADUS_CHECK(Formula, inputs, integers)                                \
  if constexpr (std::is_same_v<formula::Formula, formula::Pow> ||              \
                std::is_same_v<formula::Formula, formula::BinaryCrossEntropy>) \
    check_formula<formula::Formula, inputs, integers>(cancelling, cancelling); \
  else                                                                         \
    check_formula<formula::Formula, inputs, integers>(exact, exact);
  GRADUS_FORMULAS_OF_SEVERAL(GRADUS_CHECK)
  GRADUS_COMPARISONS_OF_TWO(GRADUS_CHECK)
  GRADUS_LOSS_FORMULAS(GRADUS_CHECK)
#undef GRADUS_CHECK
}

TEST(CudaMap, FormulasOfDistributionsAndLayers) {
#define GRADUS_CHECK(Formula, inputs, integers) \
  check_formula<formula::Formula, inputs, integers>(cancelling, cancelling);
  GRADUS_NN_FORMULAS(GRADUS_CHECK)
#undef GRADUS_CHECK
}

const std::vector<std::vector<Place>> arrangements = {
    {Place::contiguous},
    {Place::contiguous, Place::last_axis},
    {Place::last_axis, Place::contiguous},
    {Place::contiguous, Place::first_axis, Place::contiguous},
    {Place::first_axis, Place::last_axis},
    {Place::scalar, Place::contiguous},
    {Place::scalar},
    {Place::transposed, Place::contiguous},
    {Place::reversed, Place::transposed, Place::scalar},
};

TEST(CudaMap, Layouts) {
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{
           {1}, {31}, {33, 64}, {65, 10}, {3, 1, 130}, {7, 5, 12}, {2, 3, 2, 2, 5}, {0, 4}, {3000}})
    for (const auto& places : arrangements)
      for (std::int64_t skip : {0, 1}) {
        std::ostringstream text;
        text << "sizes " << ::testing::PrintToString(sizes) << ", places "
             << ::testing::PrintToString(places) << ", skip " << skip;
        SCOPED_TRACE(text.str());
        check_type<formula::Mul, float, 2>(nest(sizes), places, skip);
        check_type<formula::Where, double, 3>(nest(sizes), places, skip);
        check_type<formula::Less, bf16, 2>(nest(sizes), places, skip);
        if (::testing::Test::HasFatalFailure()) return;
      }
}

// Sums that are cut into chunks, along the innermost axis and across it.
TEST(CudaMap, SumsInChunks) {
  using Map = EmulatedMap<formula::Mul, float, 2>;
  for (const auto& [sizes, place] :
       {std::pair{nest({5, 2500}), Place::first_axis}, std::pair{nest({5000}), Place::scalar},
        std::pair{nest({300, 7}), Place::last_axis},
        std::pair{nest({40, 3, 11}), Place::last_axis}}) {
    const Map map({}, sizes, {Place::contiguous, place}, 0, numbers<float>());
    check_gradients(map, 0b11, exact);
    check_gradients(map, 0b10, exact);
    on_every_schedule([&] { return map.gradients(0b10); });
  }
}

TEST(CudaMap, UsersFormula) {
  const Precision of_factors{12, 64};  // the sizes of what is multiplied
  check_formula<Coupling, 3, false>(cancelling, of_factors);
}

struct Unknown {
  auto operator()(const auto& x) const { return x; }
};

TEST(CudaMap, FormulasWithoutKernels) {
  EXPECT_EQ(emulated::find_map(typeid(Unknown), 1), nullptr);
  EXPECT_EQ(emulated::find_map(typeid(formula::Add), 3), nullptr);
}

}  // namespace
}  // namespace gradus::test
