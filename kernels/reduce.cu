#include "gradus/kernels/reduce.h"

#include "gradus/kernels/cuda/reduce.cuh"

namespace gradus::GRADUS_GPU {
namespace {

template <class T>
struct Store {
  T* y;
  template <class S>
  GRADUS_DEVICE void operator()(const S& s, std::int64_t o) const {
    y[o] = narrowed<T>(s);
  }
};
struct StorePlace {
  std::int64_t* y;
  template <class S>
  GRADUS_DEVICE void operator()(const S& s, std::int64_t o) const {
    y[o] = s.at;
  }
};
template <class T>
struct StoreNumber {
  T* y;
  template <class S>
  GRADUS_DEVICE void operator()(const S& s, std::int64_t o) const {
    y[o] = static_cast<T>(s.n);
  }
};
struct StoreFound {
  bool* y;
  bool found;
  GRADUS_DEVICE void operator()(unsigned s, std::int64_t o) const { y[o] = (s != 0) == found; }
};
// A mean of nothing is 0/0; with too few elements the variance is infinite or 0/0.
template <class T>
struct StoreMoments {
  T *mean, *y;
  double freedom;
  template <class S>
  GRADUS_DEVICE void operator()(const S& s, std::int64_t o) const {
    mean[o] = narrowed<T>(s.n > 0 ? s.mean : 0 / s.n);
    y[o] = narrowed<T>(s.squares / freedom);
  }
};
template <class T>
struct StoreLogarithm {
  T* y;
  template <class S>
  GRADUS_DEVICE void operator()(const S& s, std::int64_t o) const {
    using C = computed<T>;
    y[o] = narrowed<T>(std::log(static_cast<C>(s.sum)) + s.shift());
  }
};

}  // namespace

template <class T, class Y>
void sum(const T* x, const ReduceShape& shape, Y* y) {
  reduce<SumOf<computed<T>>>(x, in_memory_order(shape), Store<Y>{y});
}

template <class T>
void prod(const T* x, const ReduceShape& shape, T* y) {
  reduce<ProductOf<computed<T>>>(x, in_memory_order(shape), Store<T>{y});
}

template <class T>
void max(const T* x, const ReduceShape& shape, T* y) {
  reduce<ExtremeOf<computed<T>, Larger>>(x, in_memory_order(shape), Store<T>{y});
}

template <class T>
void min(const T* x, const ReduceShape& shape, T* y) {
  reduce<ExtremeOf<computed<T>, Smaller>>(x, in_memory_order(shape), Store<T>{y});
}

template <class T>
void count_max(const T* x, const ReduceShape& shape, T* y) {
  reduce<CountOf<T, Larger>>(x, in_memory_order(shape), StoreNumber<T>{y});
}
template <class T>
void count_min(const T* x, const ReduceShape& shape, T* y) {
  reduce<CountOf<T, Smaller>>(x, in_memory_order(shape), StoreNumber<T>{y});
}

template <class T>
void argmax(const T* x, const ReduceShape& shape, std::int64_t* y) {
  reduce<ArgmaxOf<computed<T>>>(x, shape, StorePlace{y});
}

template <class T>
void variance(const T* x, const ReduceShape& shape, double correction, T* mean, T* y) {
  const double freedom = std::max(0.0, static_cast<double>(shape.reduced.count()) - correction);
  reduce<MomentsOf<computed<T>>>(x, in_memory_order(shape), StoreMoments<T>{mean, y, freedom});
}

template <class T>
void logsumexp(const T* x, const ReduceShape& shape, T* y) {
  reduce<ExponentialsOf<computed<T>>>(x, in_memory_order(shape), StoreLogarithm<T>{y});
}

template <class T>
void sum_integers(const T* x, const ReduceShape& shape, std::int64_t* y) {
  reduce<IntegerSumOf<in_register<T>>>(x, in_memory_order(shape), Store<std::int64_t>{y});
}

void any(const bool* x, const ReduceShape& shape, bool* y) {
  reduce<Occurs<0>>(x, in_memory_order(shape), StoreFound{y, true});
}
void all(const bool* x, const ReduceShape& shape, bool* y) {
  reduce<Occurs<1>>(x, in_memory_order(shape), StoreFound{y, false});
}

#define GRADUS_INSTANTIATE(T)                                           \
  template void sum(const T*, const ReduceShape&, T*);                  \
  template void max(const T*, const ReduceShape&, T*);                  \
  template void min(const T*, const ReduceShape&, T*);                  \
  template void variance(const T*, const ReduceShape&, double, T*, T*); \
  template void logsumexp(const T*, const ReduceShape&, T*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
GRADUS_INSTANTIATE(bf16)
#undef GRADUS_INSTANTIATE
template void sum(const bf16*, const ReduceShape&, float*);
#define GRADUS_INSTANTIATE(T)                                \
  template void prod(const T*, const ReduceShape&, T*);      \
  template void count_max(const T*, const ReduceShape&, T*); \
  template void count_min(const T*, const ReduceShape&, T*); \
  template void argmax(const T*, const ReduceShape&, std::int64_t*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
#undef GRADUS_INSTANTIATE
template void sum_integers(const std::int32_t*, const ReduceShape&, std::int64_t*);
template void sum_integers(const std::int64_t*, const ReduceShape&, std::int64_t*);
template void sum_integers(const std::uint8_t*, const ReduceShape&, std::int64_t*);
template void sum_integers(const bool*, const ReduceShape&, std::int64_t*);

}  // namespace gradus::GRADUS_GPU
