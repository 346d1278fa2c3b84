#include "gradus/kernels/softmax.h"

#include "gradus/kernels/cuda/reduce.cuh"

namespace gradus::GRADUS_GPU {
namespace {

using Index = std::int64_t;

constexpr int threads = 256, long_threads = 512;
constexpr int most_packs = 8;  // of a row that a thread holds in registers
constexpr Index held_bytes =
    160 * 1024;  // of a row in shared memory: what compute capability 8.0 has

// The threads of a row.
template <class C>
struct Group {
  int lanes;
  C* warps;

  // Over the row, whose elements are v of each thread: the same bits for all of them.
  template <int E, class F>
  GRADUS_DEVICE C fold(const C (&v)[E], const F& f) const {
    return fold_threads(fold_array(v, f), lanes, warps, f);
  }
};

// What is done to a row. apply() holds it in registers: a becomes the result, b is the second
// input, elements beyond the row hold `missing`. A longer one is folded, Fold over term(a, b), and
// then mapped, map(a, b) of parameters made from the state.

// exp(x - max) / sum; a sum of NaN is what an infinite maximum gives.
template <class C>
struct Softmax {
  static constexpr int inputs = 1;
  static constexpr C missing = -std::numeric_limits<C>::infinity();
  template <int E>
  GRADUS_DEVICE static void apply(C (&a)[E], const C (&)[E], const Group<C>& row) {
    const C max = row.fold(a, Larger());
    for (int i = 0; i < E; ++i) a[i] = std::exp(a[i] - max);
    const C scale = 1 / row.fold(a, Plus());
    for (int i = 0; i < E; ++i) a[i] *= scale;
  }

  using Fold = ExponentialsOf<C>;
  GRADUS_DEVICE static C term(C a, C) { return a; }
  C max, scale;
  // The fold shifts by 0 where the maximum is infinite: max - max is then NaN.
  GRADUS_DEVICE explicit Softmax(const typename Fold::State& s)
      : max(static_cast<C>(s.max)), scale(1 / static_cast<C>(s.sum) + (max - max)) {}
  GRADUS_DEVICE C map(C a, C) const { return std::exp(a - max) * scale; }
};

template <class C>
struct LogSoftmax {
  static constexpr int inputs = 1;
  static constexpr C missing = -std::numeric_limits<C>::infinity();
  template <int E>
  GRADUS_DEVICE static void apply(C (&a)[E], const C (&)[E], const Group<C>& row) {
    const C max = row.fold(a, Larger());
    C e[E];
    for (int i = 0; i < E; ++i) {
      a[i] -= max;
      e[i] = std::exp(a[i]);
    }
    const C log_sum = std::log(row.fold(e, Plus()));
    for (int i = 0; i < E; ++i) a[i] -= log_sum;
  }

  using Fold = ExponentialsOf<C>;
  GRADUS_DEVICE static C term(C a, C) { return a; }
  C max, log_sum;
  GRADUS_DEVICE explicit LogSoftmax(const typename Fold::State& s)
      : max(static_cast<C>(s.max)), log_sum(std::log(static_cast<C>(s.sum)) + (max - max)) {}
  GRADUS_DEVICE C map(C a, C) const { return a - max - log_sum; }
};

// y * (g - sum(g * y)), of y and g.
template <class C>
struct SoftmaxVjp {
  static constexpr int inputs = 2;
  static constexpr C missing = 0;
  template <int E>
  GRADUS_DEVICE static void apply(C (&a)[E], const C (&b)[E], const Group<C>& row) {
    C product[E];
    for (int i = 0; i < E; ++i) product[i] = a[i] * b[i];
    const C dot = row.fold(product, Plus());
    for (int i = 0; i < E; ++i) a[i] *= b[i] - dot;
  }

  using Fold = SumOf<C>;
  GRADUS_DEVICE static C term(C a, C b) { return a * b; }
  C dot;
  GRADUS_DEVICE explicit SoftmaxVjp(double s) : dot(static_cast<C>(s)) {}
  GRADUS_DEVICE C map(C a, C b) const { return a * (b - dot); }
};

// g - exp(y) * sum(g), of y and g.
template <class C>
struct LogSoftmaxVjp {
  static constexpr int inputs = 2;
  static constexpr C missing = 0;
  template <int E>
  GRADUS_DEVICE static void apply(C (&a)[E], const C (&b)[E], const Group<C>& row) {
    const C sum = row.fold(b, Plus());
    for (int i = 0; i < E; ++i) a[i] = b[i] - std::exp(a[i]) * sum;
  }

  using Fold = SumOf<C>;
  GRADUS_DEVICE static C term(C, C b) { return b; }
  C sum;
  GRADUS_DEVICE explicit LogSoftmaxVjp(double s) : sum(static_cast<C>(s)) {}
  GRADUS_DEVICE C map(C a, C b) const { return b - std::exp(a) * sum; }
};

// `lanes` threads hold a row of up to lanes * packs * V elements; memory is touched once.
template <class Row, class T, int packs>
__global__ void __launch_bounds__(threads)
    rows_in_registers(const T* a, const T* b, const Index rows, const Index n, const int lanes,
                      T* y) {
  using C = computed<T>;
  constexpr int V = pack_size<T>, E = packs * V;
  GRADUS_SHARED(C, warps, [threads / warp_size]);
  const int group = static_cast<int>(threadIdx.x) / lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const Index r = Index{blockIdx.x} * (threads / lanes) + group;
  const Index start = r < rows ? r * n : 0, count = r < rows ? n : 0;
  const bool packed =
      is_aligned(a + start) && is_aligned(y + start) && (Row::inputs == 1 || is_aligned(b + start));
  C u[E], w[E];
  GRADUS_UNROLL
  for (int j = 0; j < packs; ++j) {
    const Index i = (Index{j} * lanes + lane) * V;
    const bool whole = packed && i + V <= count;
    load_elements<V>(a + start + i, whole, count - i, Row::missing, u + j * V);
    if constexpr (Row::inputs == 2)
      load_elements<V>(b + start + i, whole, count - i, Row::missing, w + j * V);
  }
  Row::apply(u, w, Group<C>{lanes, warps});
  GRADUS_UNROLL
  for (int j = 0; j < packs; ++j) {
    const Index i = (Index{j} * lanes + lane) * V;
    store_elements<V>(u + j * V, packed && i + V <= count, count - i, y + start + i);
  }
}

// A block for each row. Memory is read once where a row fits into shared memory, and twice where
// not (the second time from the L2 cache, mostly).
template <class Row, class T, bool held>
__global__ void __launch_bounds__(long_threads)
    long_rows(const T* a, const T* b, const Index n, T* y) {
  using C = computed<T>;
  using Fold = typename Row::Fold;
  using State = typename Fold::State;
  constexpr int V = pack_size<T>, batch = V == 4 ? 4 : 2;
  GRADUS_SHARED(State, warps, [long_threads / warp_size]);
  GRADUS_DYNAMIC_SHARED(T, row);
  const Index start = Index{blockIdx.x} * n, padded = (n + V - 1) / V * V;
  a += start, y += start;
  if constexpr (Row::inputs == 2) b += start;
  const bool packed = is_aligned(a) && is_aligned(y) && (Row::inputs == 1 || is_aligned(b));
  constexpr Index jump = Index{long_threads} * V;
  State state = Fold::none();
  for (Index p = Index{threadIdx.x} * V; p < n; p += jump * batch) {
    C u[batch * V], w[batch * V];
    int count = 0;
    GRADUS_UNROLL
    for (int j = 0; j < batch; ++j) {
      const Index i = p + j * jump;
      const bool whole = packed && i + V <= n;
      load_elements<V>(a + i, whole, n - i, Row::missing, u + j * V);
      if constexpr (Row::inputs == 2)
        load_elements<V>(b + i, whole, n - i, Row::missing, w + j * V);
      count += i + V <= n ? V : i < n ? static_cast<int>(n - i) : 0;
    }
    GRADUS_UNROLL
    for (int j = 0; j < batch; ++j) {
      const Index i = p + j * jump;
      if (held && i < n) {
        store_elements<V>(u + j * V, true, V, row + i);
        if constexpr (Row::inputs == 2) store_elements<V>(w + j * V, true, V, row + padded + i);
      }
    }
    C term[batch * V];
    GRADUS_UNROLL
    for (int i = 0; i < batch * V; ++i) {
      if constexpr (Row::inputs == 2)
        term[i] = Row::term(u[i], w[i]);
      else
        term[i] = Row::term(u[i], u[i]);
    }
    Fold::template take<V>(state, term, count, p, jump);
  }
  const Row result(fold_threads(state, long_threads, warps, Merge<Fold>()));
  for (Index i = Index{threadIdx.x} * V; i < n; i += jump) {
    const bool whole = packed && i + V <= n;
    C u[V], w[V];
    load_elements<V>(held ? row + i : a + i, held || whole, n - i, Row::missing, u);
    if constexpr (Row::inputs == 2)
      load_elements<V>(held ? row + padded + i : b + i, held || whole, n - i, Row::missing, w);
    GRADUS_UNROLL
    for (int k = 0; k < V; ++k) {
      if constexpr (Row::inputs == 2)
        u[k] = result.map(u[k], w[k]);
      else
        u[k] = result.map(u[k], u[k]);
    }
    store_elements<V>(u, whole, n - i, y + i);
  }
}

template <class Row, class T>
void for_rows(const T* a, const T* b, Index rows, Index n, T* y) {
  constexpr int V = pack_size<T>, most = most_packs * 4 / (V < 4 ? 4 : V) / Row::inputs;
  if (rows == 0 || n == 0) return;
  if (n > Index{threads} * most * V) {
    const Index bytes = (n + V - 1) / V * 16 * Row::inputs;
    const unsigned blocks = blocks_for(rows, 1);
    if (bytes <= held_bytes)
      GRADUS_LAUNCH((long_rows<Row, T, true>), blocks, long_threads,
                    static_cast<std::size_t>(bytes), a, b, n, y);
    else
      GRADUS_LAUNCH((long_rows<Row, T, false>), blocks, long_threads, 0, a, b, n, y);
    return;
  }
  const auto with_packs = [&](auto packs) {
    constexpr int P = packs.value;
    const int lanes = detail::power_from((n + P * V - 1) / (P * V), threads);
    GRADUS_LAUNCH((rows_in_registers<Row, T, P>), blocks_for(rows, threads / lanes), threads, 0, a,
                  b, rows, n, lanes, y);
  };
  // Packs first fill a warp, then a thread, then more warps.
  const int packs = detail::power_from((n + warp_size * V - 1) / (warp_size * V), most);
  if (packs == 1)
    with_packs(std::integral_constant<int, 1>());
  else if (packs == 2)
    with_packs(std::integral_constant<int, 2>());
  else if (packs == 4)
    with_packs(std::integral_constant < int, most<4 ? most : 4>());
  else
    with_packs(std::integral_constant<int, most>());
}

template <class T>
struct StoreCrossEntropy {
  using C = computed<T>;
  const T* x;
  const Index* target;
  Index n;
  C *loss, *lse;

  template <class S>
  GRADUS_DEVICE void operator()(const S& s, Index r) const {
    const C log_sum = std::log(static_cast<C>(s.sum)), shift = s.shift();
    const Index t = target[r];
    lse[r] = log_sum + shift;
    loss[r] = t >= 0 && t < n ? log_sum + (shift - widened(x[r * n + t]))
                              : std::numeric_limits<C>::quiet_NaN();
  }
};

// Of packs of V elements along a row; the grid covers rows and parts of rows.
template <class T>
__global__ void __launch_bounds__(threads)
    cross_entropy_vjp_rows(const T* x, const Index* target, const computed<T>* lse,
                           const computed<T>* g, const Index g_stride, const Index rows,
                           const Index n, const int lanes, const Index parts, T* dx) {
  using C = computed<T>;
  constexpr int V = pack_size<T>, packs = 4;
  const int group = static_cast<int>(threadIdx.x) / lanes;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const Index strip = parts == 1 ? Index{blockIdx.x} : Index{blockIdx.x} / parts;
  const Index part = Index{blockIdx.x} - strip * parts;
  const Index r = strip * (threads / lanes) + group;
  if (r >= rows) return;
  x += r * n, dx += r * n;
  const bool packed = is_aligned(x) && is_aligned(dx);
  const C shift = lse[r], scale = g[r * g_stride];
  const Index hit = target[r], begin = (part * packs * lanes + lane) * V;
  C v[packs * V];
  GRADUS_UNROLL
  for (int j = 0; j < packs; ++j) {
    const Index i = begin + Index{j} * lanes * V;
    load_elements<V>(x + i, packed && i + V <= n, n - i, C(0), v + j * V);
  }
  GRADUS_UNROLL
  for (int j = 0; j < packs; ++j) {
    const Index i = begin + Index{j} * lanes * V;
    GRADUS_UNROLL
    for (int k = 0; k < V; ++k) {
      const C p = std::exp(v[j * V + k] - shift);
      v[j * V + k] = (i + k == hit ? p - 1 : p) * scale;
    }
    store_elements<V>(v + j * V, packed && i + V <= n, n - i, dx + i);
  }
}

}  // namespace

template <class T>
void softmax(const T* x, Index rows, Index n, T* y) {
  for_rows<Softmax<computed<T>>>(x, x, rows, n, y);
}

template <class T>
void log_softmax(const T* x, Index rows, Index n, T* y) {
  for_rows<LogSoftmax<computed<T>>>(x, x, rows, n, y);
}

template <class T>
void softmax_vjp(const T* y, const T* g, Index rows, Index n, T* dx) {
  for_rows<SoftmaxVjp<computed<T>>>(y, g, rows, n, dx);
}

template <class T>
void log_softmax_vjp(const T* y, const T* g, Index rows, Index n, T* dx) {
  for_rows<LogSoftmaxVjp<computed<T>>>(y, g, rows, n, dx);
}

template <class T>
void cross_entropy(const T* x, const Index* target, Index rows, Index n, computed<T>* loss,
                   computed<T>* lse) {
  ReduceShape shape;
  shape.kept = {1, {rows}}, shape.reduced = {1, {n}};
  shape.kept_stride[0] = n, shape.reduced_stride[0] = 1;
  reduce<ExponentialsOf<computed<T>>>(x, shape, StoreCrossEntropy<T>{x, target, n, loss, lse});
}

template <class T>
void cross_entropy_vjp(const T* x, const Index* target, const computed<T>* lse,
                       const computed<T>* g, Index g_stride, Index rows, Index n, T* dx) {
  constexpr int V = pack_size<T>, packs = 4;
  if (rows == 0 || n == 0) return;
  const int lanes = detail::power_from((n + packs * V - 1) / (packs * V), threads);
  const Index parts = (n + Index{lanes} * packs * V - 1) / (Index{lanes} * packs * V);
  const Index strips = (rows + threads / lanes - 1) / (threads / lanes);
  GRADUS_LAUNCH((cross_entropy_vjp_rows<T>), blocks_for(strips * parts, 1), threads, 0, x, target,
                lse, g, g_stride, rows, n, lanes, parts, dx);
}

#define GRADUS_INSTANTIATE(T)                                                                     \
  template void softmax(const T*, Index, Index, T*);                                              \
  template void log_softmax(const T*, Index, Index, T*);                                          \
  template void softmax_vjp(const T*, const T*, Index, Index, T*);                                \
  template void log_softmax_vjp(const T*, const T*, Index, Index, T*);                            \
  template void cross_entropy(const T*, const Index*, Index, Index, computed<T>*, computed<T>*);  \
  template void cross_entropy_vjp(const T*, const Index*, const computed<T>*, const computed<T>*, \
                                  Index, Index, Index, T*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
GRADUS_INSTANTIATE(bf16)
#undef GRADUS_INSTANTIATE

}  // namespace gradus::GRADUS_GPU
