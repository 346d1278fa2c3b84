// What becomes of the elements of a product while they are in the cache; for code inside
// with_isa().
#pragma once

#include "gradus/kernels/cpu/product.h"
#include "gradus/kernels/formula.h"

namespace gradus::cpu::product {

template <class Set, class T, class F>
void finish_with(const F& f, const Product<T>& s, Range rows, Range columns) {
  Set::call([&](auto) GRADUS_LAMBDA {
    using L = typename Set::template Lane<T>;
    const T* const bias = s.epilogue.bias;
    const Index n = columns.size();
    for (Index i = rows.begin; i < rows.end; ++i)
      for (Index j = 0; j < n; j += L::size) {
        T* c = s.c + i * s.ldc + columns.begin + j;
        const Index left = n - j, at = columns.begin + j;
        const bool whole = left >= L::size;
        L x = whole ? L::load(c) : L::load(c, left);
        if (bias && s.one_bias)
          x = x + L(*bias);
        else if (bias)
          x = x + (whole ? L::load(bias + at) : L::load(bias + at, left));
        x = f(x);
        whole ? x.store(c) : x.store(c, left);
      }
  });
}

struct Unchanged {
  GRADUS_INLINE auto operator()(const auto& x) const { return x; }
};

// Of sums that are complete.
template <class Set, class T>
void finish(const Product<T>& s, Range rows, Range columns) {
  switch (s.epilogue.activation) {
    case Activation::none:
      if (s.epilogue.bias) finish_with<Set>(Unchanged(), s, rows, columns);
      return;
    case Activation::relu:
      return finish_with<Set>(formula::Relu(), s, rows, columns);
    case Activation::gelu:
      return finish_with<Set>(formula::GeluExact(), s, rows, columns);
    case Activation::gelu_tanh:
      return finish_with<Set>(formula::GeluTanh(), s, rows, columns);
    case Activation::gelu_sigmoid:
      return finish_with<Set>(formula::GeluSigmoid(), s, rows, columns);
  }
}

}  // namespace gradus::cpu::product
