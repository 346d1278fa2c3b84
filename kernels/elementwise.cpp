#include "gradus/kernels/elementwise.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "gradus/kernels/conversion.h"
#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"

namespace gradus::cpu {
namespace {

constexpr std::int64_t tile_elements = 32768;  // of the pool
template <class T>
constexpr std::int64_t block_elements = 4096 / sizeof(T);  // of a buffer in L1
constexpr std::int64_t short_row = 128;                    // below this, a block holds several rows
constexpr std::int64_t stream_bytes = 16 << 20;
constexpr int max_operands = max_map_inputs + 2;

// The loop nest with axes of size 1 dropped and neighbours merged wherever all operands allow it.
struct Nest {
  Extents extents;
  int operands = 0;
  std::int64_t stride[2 * max_operands][max_rank];

  void add(const std::int64_t* s) { std::copy_n(s, max_rank, stride[operands++]); }

  void merge() {
    Extents& e = extents;
    int rank = 0;
    for (int i = 0; i < e.rank; ++i) {
      if (e.size[i] == 1) continue;
      bool joins = rank > 0;
      for (int k = 0; k < operands && joins; ++k)
        joins = stride[k][rank - 1] == stride[k][i] * e.size[i];
      const int to = joins ? rank - 1 : rank++;
      e.size[to] = joins ? e.size[to] * e.size[i] : e.size[i];
      for (int k = 0; k < operands; ++k) stride[k][to] = stride[k][i];
    }
    if (rank == 0) {
      e.size[0] = 1;
      rank = 1;
      for (int k = 0; k < operands; ++k) stride[k][0] = 0;
    }
    e.rank = rank;
  }
  std::int64_t row() const { return extents.size[extents.rank - 1]; }
  std::int64_t inner(int k) const { return stride[k][extents.rank - 1]; }

  bool contiguous(int k) const {
    std::int64_t expected = 1;
    for (int i = extents.rank; i-- > 0; expected *= extents.size[i])
      if (extents.size[i] != 1 && stride[k][i] != expected) return false;
    return true;
  }
  // Where operand k is at the beginning of row `r`.
  std::int64_t row_offset(int k, std::int64_t r) const {
    std::int64_t offset = 0;
    for (int i = extents.rank - 1; i-- > 0;) {
      offset += r % extents.size[i] * stride[k][i];
      r /= extents.size[i];
    }
    return offset;
  }
  // Calls f(offset of operand k, index in the block, length) for each piece of a row in a block.
  template <class F>
  void pieces(int k, std::int64_t begin, std::int64_t n, F f) const {
    for (std::int64_t done = 0; done < n;) {
      const std::int64_t r = (begin + done) / row(), column = (begin + done) % row();
      const std::int64_t length = std::min(row() - column, n - done);
      f(row_offset(k, r) + column * inner(k), done, length);
      done += length;
    }
  }
};

template <class To, class From>
void gather(const Nest& nest, int k, const From* x, std::int64_t begin, std::int64_t n, To* out) {
  const std::int64_t step = nest.inner(k);
  nest.pieces(k, begin, n, [&](std::int64_t offset, std::int64_t at, std::int64_t length) {
    const From* p = x + offset;
    if (step == 0) {
      std::fill_n(out + at, length, static_cast<To>(*p));
    } else if (step == 1) {
      if constexpr (std::is_same_v<From, bf16>)
        convert(p, length, out + at);
      else
        std::copy_n(p, length, out + at);
    } else {
      for (std::int64_t i = 0; i < length; ++i) out[at + i] = static_cast<To>(p[i * step]);
    }
  });
}

// Operands of one block as plain pointers, in place where they are contiguous along it and need no
// conversion. S is how elements are stored.
template <class S>
class Blocks {
 public:
  using T = computed<S>;
  static constexpr bool in_place = std::is_same_v<S, T>;
  static constexpr std::int64_t result_elements = in_place ? 1 : block_elements<T>;

  Blocks(const Nest& nest, std::span<const MapInput> inputs) : nest_(nest), inputs_(inputs) {
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      const int i = static_cast<int>(k);
      whole_[k] = in_place && !inputs[k].boolean && nest.contiguous(i);
      by_row_[k] = in_place && !inputs[k].boolean && nest.inner(i) == 1;
      all_whole_ = all_whole_ && whole_[k];
    }
  }
  bool all_whole() const { return all_whole_; }

  // The elements from `begin` that one block can take.
  std::int64_t length(std::int64_t begin, std::int64_t end) const {
    const std::int64_t n = std::min(end - begin, block_elements<T>);
    if (nest_.row() < short_row) return n;
    return std::min(n, nest_.row() - begin % nest_.row());
  }
  void load(std::int64_t begin, std::int64_t n, const void** x) {
    const bool one_row = begin % nest_.row() + n <= nest_.row();
    for (std::size_t k = 0; k < inputs_.size(); ++k) {
      const int i = static_cast<int>(k);
      if (inputs_[k].boolean) {
        with_isa([&](auto) GRADUS_LAMBDA {  // as bytes: compilers do not convert vectors of bool
          const auto* bytes = static_cast<const unsigned char*>(inputs_[k].data);
          gather(nest_, i, bytes, begin, n, buffer_[k]);
        });
        x[k] = buffer_[k];
        continue;
      }
      const S* data = static_cast<const S*>(inputs_[k].data);
      if (whole_[k]) {
        x[k] = data + begin;
      } else if (by_row_[k] && one_row) {
        x[k] = data + nest_.row_offset(i, begin / nest_.row()) + begin % nest_.row();
      } else {
        gather(nest_, i, data, begin, n, buffer_[k]);
        x[k] = buffer_[k];
      }
    }
  }

 private:
  const Nest& nest_;
  std::span<const MapInput> inputs_;
  bool whole_[max_operands] = {}, by_row_[max_operands] = {}, all_whole_ = true;
  alignas(64) T buffer_[max_operands][block_elements<T>];
};

template <class Body>
void for_tiles(std::int64_t n, Body body) {
  parallel((n + tile_elements - 1) / tile_elements, [&](std::int64_t tile) {
    body(tile, tile * tile_elements, std::min(n, (tile + 1) * tile_elements));
  });
}

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }

Nest make_nest(const Extents& extents, std::span<const MapInput> inputs) {
  Nest nest;
  nest.extents = extents;
  for (const MapInput& input : inputs) nest.add(input.stride);
  return nest;
}

}  // namespace

template <class S>
void map(MapLoop loop, const void* formula, const Extents& extents,
         std::span<const MapInput> inputs, S* y) {
  using T = computed<S>;
  constexpr bool in_place = Blocks<S>::in_place;
  const std::int64_t n = extents.count();
  if (n == 0) return;
  Nest nest = make_nest(extents, inputs);
  nest.merge();
  const bool stream = n * static_cast<std::int64_t>(sizeof(T)) >= stream_bytes && aligned(y);
  for_tiles(n, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    Blocks<S> blocks(nest, inputs);
    const void* x[max_operands];
    alignas(64) T result[Blocks<S>::result_elements];
    if (in_place && blocks.all_whole()) {
      blocks.load(begin, end - begin, x);
      return loop(formula, x, y + begin, end - begin, stream);
    }
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t length = blocks.length(at, end);
      blocks.load(at, length, x);
      if constexpr (in_place) {
        loop(formula, x, y + at, length, stream && aligned(y + at));
      } else {
        loop(formula, x, result, length, false);
        convert(result, length, y + at);
      }
      at += length;
    }
  });
}

template <class S>
void map_to_bool(MapLoop loop, const void* formula, const Extents& extents,
                 std::span<const MapInput> inputs, bool* y) {
  using T = computed<S>;
  const std::int64_t n = extents.count();
  if (n == 0) return;
  Nest nest = make_nest(extents, inputs);
  nest.merge();
  for_tiles(n, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    Blocks<S> blocks(nest, inputs);
    const void* x[max_operands];
    alignas(64) T result[block_elements<T>];
    for (std::int64_t at = begin; at < end;) {
      const std::int64_t length = blocks.length(at, end);
      blocks.load(at, length, x);
      loop(formula, x, result, length, false);
      with_isa([&](auto) GRADUS_LAMBDA {
        for (std::int64_t i = 0; i < length; ++i) y[at + i] = result[i] != T(0);
      });
      at += length;
    }
  });
}

namespace {

// A gradient that is summed over broadcast axes: a partial sum for each tile, then their sum.
struct Sums {
  double* partial = nullptr;  // [tiles][count]
  std::int64_t count = 0;
};

bool is_sum(const Extents& extents, const MapGradient& g) {
  if (!g.data) return false;
  for (int i = 0; i < extents.rank; ++i)
    if (extents.size[i] > 1 && g.stride[i] == 0) return true;
  return false;
}

std::int64_t tiles_of(std::int64_t n) { return (n + tile_elements - 1) / tile_elements; }

template <class T>
double sum_of(const T* x, std::int64_t n) {
  double lanes[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) lanes[k] += static_cast<double>(x[i + k]);
  for (; i < n; ++i) lanes[i % 8] += static_cast<double>(x[i]);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

template <class T>
void add_block(const Nest& nest, int k, const T* block, std::int64_t begin, std::int64_t n,
               double* sums) {
  const std::int64_t step = nest.inner(k);
  nest.pieces(k, begin, n, [&](std::int64_t offset, std::int64_t at, std::int64_t length) {
    double* to = sums + offset;
    if (step == 0) {
      *to += sum_of(block + at, length);
    } else {
      for (std::int64_t i = 0; i < length; ++i) to[i * step] += static_cast<double>(block[at + i]);
    }
  });
}

}  // namespace

std::int64_t map_gradient_scratch(const Extents& extents, std::span<const MapGradient> gradients) {
  std::int64_t bytes = 0;
  for (const MapGradient& g : gradients)
    if (is_sum(extents, g))
      bytes += tiles_of(extents.count()) * g.count * static_cast<std::int64_t>(sizeof(double));
  return bytes;
}

template <class S>
void map_gradient(GradientLoop loop, const void* formula, const Extents& extents,
                  std::span<const MapInput> inputs, std::span<const MapGradient> gradients,
                  void* scratch) {
  using T = computed<S>;
  constexpr bool in_place = Blocks<S>::in_place;
  const std::int64_t n = extents.count();
  const std::int64_t tiles = tiles_of(n);
  Nest nest = make_nest(extents, inputs);
  for (const MapGradient& g : gradients) nest.add(g.stride);
  nest.merge();

  const int first = static_cast<int>(inputs.size());
  std::array<Sums, max_map_inputs> sums;
  double* free = static_cast<double*>(scratch);
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (!is_sum(extents, gradients[k])) continue;
    sums[k] = {free, gradients[k].count};
    free += tiles * gradients[k].count;
  }
  bool any_sum = free != scratch;

  for_tiles(n, [&](std::int64_t tile, std::int64_t begin, std::int64_t end) {
    Blocks<S> blocks(nest, inputs);
    const void* x[max_operands];
    void* d[max_map_inputs] = {};
    alignas(64) T buffer[max_map_inputs][block_elements<T>];
    for (std::size_t k = 0; k < gradients.size(); ++k)
      if (sums[k].partial) std::fill_n(sums[k].partial + tile * sums[k].count, sums[k].count, 0.0);
    for (std::int64_t at = begin; at < end;) {
      const bool whole = in_place && blocks.all_whole() && !any_sum;
      const std::int64_t length = whole ? end - at : blocks.length(at, end);
      blocks.load(at, length, x);
      bool stream = in_place && n * static_cast<std::int64_t>(sizeof(T)) >= stream_bytes;
      for (std::size_t k = 0; k < gradients.size(); ++k) {
        if (!gradients[k].data) continue;
        d[k] = sums[k].partial || !in_place ? buffer[k] : static_cast<T*>(gradients[k].data) + at;
        stream = stream && !sums[k].partial && aligned(d[k]);
      }
      loop(formula, x, d, length, stream);
      for (std::size_t k = 0; k < gradients.size(); ++k)
        if (sums[k].partial)
          with_isa([&](auto) GRADUS_LAMBDA {
            add_block(nest, first + static_cast<int>(k), buffer[k], at, length,
                      sums[k].partial + tile * sums[k].count);
          });
        else if (!in_place && d[k])
          convert(buffer[k], length, static_cast<S*>(gradients[k].data) + at);
      at += length;
    }
  });

  for (std::size_t k = 0; k < gradients.size(); ++k) {
    if (!sums[k].partial) continue;
    S* out = static_cast<S*>(gradients[k].data);
    for (std::int64_t i = 0; i < sums[k].count; ++i) {
      double total = 0;
      for (std::int64_t t = 0; t < tiles; ++t) total += sums[k].partial[t * sums[k].count + i];
      out[i] = converted<S>(total);
    }
  }
}

#define GRADUS_INSTANTIATE(T)                                                                   \
  template void map<T>(MapLoop, const void*, const Extents&, std::span<const MapInput>, T*);    \
  template void map_to_bool<T>(MapLoop, const void*, const Extents&, std::span<const MapInput>, \
                               bool*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)
GRADUS_INSTANTIATE(bf16)
GRADUS_INSTANTIATE(std::int32_t)
GRADUS_INSTANTIATE(std::int64_t)
template void map_gradient<bf16>(GradientLoop, const void*, const Extents&,
                                 std::span<const MapInput>, std::span<const MapGradient>, void*);
template void map_gradient<float>(GradientLoop, const void*, const Extents&,
                                  std::span<const MapInput>, std::span<const MapGradient>, void*);
template void map_gradient<double>(GradientLoop, const void*, const Extents&,
                                   std::span<const MapInput>, std::span<const MapGradient>, void*);

}  // namespace gradus::cpu
