// Products of bf16: both operands are converted, multiplied as floats, and what comes out is
// rounded once. The conversions are of order mk + kn + mn beside mkn multiplications.
#include <algorithm>

#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/walk.h"
#include "gradus/kernels/gemm.h"

namespace gradus::cpu {
namespace {

using Index = std::int64_t;

Index padded(Index elements) { return (elements + 15) / 16 * 16; }

// The distinct matrices of an operand, `rows` of `width` numbers each, as they will lie in float:
// dense, one after the other along the batch loops that do not repeat them.
struct Packed {
  Index rows, width, ld;
  Extents batch;
  Index stride[max_rank] = {};  // where they lie
  Index packed[max_rank] = {};  // where they will
  Index elements;

  Packed(Index m, Index n, bool transposed, Index given_ld, const Extents& given, const Index* step)
      : rows(transposed ? n : m),
        width(transposed ? m : n),
        ld(given_ld),
        batch(given),
        elements(rows * width) {
    for (int i = batch.rank; i-- > 0;) {
      stride[i] = step[i];
      if (step[i] == 0) batch.size[i] = std::min<Index>(batch.size[i], 1);
      packed[i] = step[i] == 0 ? 0 : elements;
      elements *= batch.size[i];
    }
  }

  // f(row where it lies, row as packed) for all rows, in parallel.
  template <class F>
  void for_rows(const F& f) const {
    if (elements == 0) return;
    const Index all = elements / width, tile = std::max<Index>(1, 16384 / width);
    parallel((all + tile - 1) / tile, [&](Index t) {
      Walk walk(batch.size, stride, batch.rank, t * tile / rows);
      for (Index r = t * tile, in = r % rows; r < std::min(all, (t + 1) * tile); ++r) {
        f(walk.offset() + in * ld, r * width);
        if (++in == rows) in = 0, walk.next();
      }
    });
  }
};

struct Plan {
  Packed a, b, c;
  GemmShape shape;  // of the product in float

  explicit Plan(const GemmShape& s)
      : a(s.m, s.k, s.transpose_a, s.lda, s.batch, s.stride_a),
        b(s.k, s.n, s.transpose_b, s.ldb, s.batch, s.stride_b),
        c(s.m, s.n, false, s.ldc, s.batch, s.stride_c),
        shape(s) {
    shape.lda = std::max<Index>(1, a.width);
    shape.ldb = std::max<Index>(1, b.width);
    shape.ldc = std::max<Index>(1, c.width);
    std::copy_n(a.packed, max_rank, shape.stride_a);
    std::copy_n(b.packed, max_rank, shape.stride_b);
    std::copy_n(c.packed, max_rank, shape.stride_c);
  }
  // The same with C where it lies.
  GemmShape in_place(const GemmShape& s) const {
    GemmShape direct = shape;
    direct.ldc = s.ldc;
    std::copy_n(s.stride_c, max_rank, direct.stride_c);
    return direct;
  }
  Index elements() const {
    return padded(a.elements) + padded(b.elements) + padded(c.elements) + padded(c.width);
  }
};

void read(const Packed& p, const bf16* from, float* to) {
  p.for_rows([&](Index at, Index packed) { convert(from + at, p.width, to + packed); });
}

}  // namespace

template <>
Index gemm_scratch<bf16>(const GemmShape& s) {
  const Plan plan(s);
  return plan.elements() * static_cast<Index>(sizeof(float)) +
         std::max(gemm_scratch<float>(plan.shape), gemm_scratch<float>(plan.in_place(s)));
}

template <>
void gemm_epilogue(const GemmShape& s, double alpha, const bf16* a, const bf16* b, double beta,
                   float* c, const Epilogue<float>& epilogue, void* scratch) {
  const Plan plan(s);
  float* const x = static_cast<float*>(scratch);
  float* const w = x + padded(plan.a.elements);
  read(plan.a, a, x);
  read(plan.b, b, w);
  gemm_epilogue<float, float>(plan.in_place(s), alpha, x, w, beta, c, epilogue,
                              w + padded(plan.b.elements));
}

template <>
void gemm_epilogue(const GemmShape& s, double alpha, const bf16* a, const bf16* b, double beta,
                   bf16* c, const Epilogue<bf16>& epilogue, void* scratch) {
  const Plan plan(s);
  GemmShape dense = s;  // but for C
  dense.ldc = plan.shape.ldc;
  std::copy_n(plan.shape.stride_c, max_rank, dense.stride_c);
  float* const y = static_cast<float*>(scratch);
  float* const bias = y + padded(plan.c.elements);
  if (beta != 0) read(plan.c, c, y);
  if (epilogue.bias) convert(epilogue.bias, s.n, bias);
  gemm_epilogue<bf16, float>(dense, alpha, a, b, beta, y,
                             {epilogue.bias ? bias : nullptr, epilogue.activation},
                             bias + padded(plan.c.width));
  plan.c.for_rows([&](Index at, Index packed) { convert(y + packed, s.n, c + at); });
}

template <>
void gemm(const GemmShape& s, double alpha, const bf16* a, const bf16* b, double beta, bf16* c,
          void* scratch) {
  gemm_epilogue<bf16, bf16>(s, alpha, a, b, beta, c, {}, scratch);
}

}  // namespace gradus::cpu
