// Products in f32 and f64 with the ordinary multiply-add: a block computes a tile of C, a thread
// quads of its rows and columns in registers, and the next terms arrive in shared memory meanwhile.
#pragma once

#include "gradus/kernels/cuda/gemm_tile.cuh"
#include "gradus/kernels/cuda/matrix.h"

namespace gradus::GRADUS_GPU::product {

// A thread computes `down` quads of rows by `across` quads of columns of a tile of m x n.
template <class T, int m_, int n_, int down_, int across_, int stages_, int blocks_>
struct SimtTile {
  using Value = T;
  static constexpr int m = m_, n = n_, down = down_, across = across_, stages = stages_;
  static constexpr int blocks = blocks_;  // on a multiprocessor, for which registers are left
  static constexpr int terms = 16;        // at once
  static constexpr int threads = m / (4 * down) * (n / (4 * across));
  // Rows of shared memory lie apart so that the columns written at once fall into other banks.
  static constexpr int gap = 16 / sizeof(T);
  static constexpr int stage = terms * (m + n + 2 * gap);
  static constexpr int shared = sizeof(T) * (stages * stage > m * n ? stages * stage : m * n);
};

// What one thread copies of an operand: `extent` rows of op(A), or columns of op(B), by 16 terms
// at a time, into tile[term][row].
template <class T, int extent, int threads>
struct SimtFeed {
  static constexpr int wide = 16 / sizeof(T), step = extent + wide;

  const T* from;
  int term, to;
  unsigned valid;  // by terms: bit i for copy i, else the bytes of every copy

  // x: the first of the terms of row `first`, of `limit` rows.
  GRADUS_DEVICE SimtFeed(const T* x, Index ld, bool by_terms, bool aligned, Index first,
                         Index limit) {
    const int t = static_cast<int>(threadIdx.x);
    const int across = by_terms ? 8 : aligned ? extent / wide : extent;
    term = by_terms ? t % across : t / across;
    const int row = by_terms ? t / across : t % across * (aligned ? wide : 1);
    const Index left = limit - first - row;
    from = x + (by_terms ? (first + row) * ld + term : term * ld + first + row);
    to = term * step + row;
    valid = 0;
    if (by_terms) {
      for (int i = 0; i < extent / (threads / 8); ++i)
        if (i * (threads / 8) < left) valid |= 1u << i;
    } else if (left > 0) {
      const Index most = aligned ? wide : 1;
      valid = static_cast<unsigned>((left < most ? left : most) * sizeof(T));
    }
  }

  // Starts to copy the next 16 terms, of which `terms` are there.
  GRADUS_DEVICE void copy(T* tile, Index ld, bool by_terms, bool aligned, int terms) {
    const T* x = from;
    if (by_terms) {
      constexpr int rows = threads / 8;
      GRADUS_UNROLL
      for (int i = 0; i < extent / rows; ++i, x += rows * ld) {
        const int bytes = valid >> i & 1 ? sizeof(T) : 0;
        cp_async<sizeof(T)>(tile + to + i * rows, x, term < terms ? bytes : 0);
        cp_async<sizeof(T)>(tile + to + i * rows + 8 * step, x + 8, term + 8 < terms ? bytes : 0);
      }
      from += 16;
    } else {
      if (aligned)
        copy_lines<16, threads / (extent / wide)>(tile, ld, terms);
      else
        copy_lines<sizeof(T), threads / extent>(tile, ld, terms);
      from += 16 * ld;
    }
  }

 private:
  template <int bytes, int lines>  // a block copies `lines` of the terms at once
  GRADUS_DEVICE void copy_lines(T* tile, Index ld, int terms) const {
    const T* x = from;
    GRADUS_UNROLL
    for (int i = 0; i < 16 / lines; ++i, x += lines * ld)
      cp_async<bytes>(tile + to + i * lines * step, x,
                      term + i * lines < terms ? static_cast<int>(valid) : 0);
  }
};

template <class Tile>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks)
    multiply_simt(const Product<typename Tile::Value, typename Tile::Value> p) {
  using T = typename Tile::Value;
  constexpr int m = Tile::m, n = Tile::n, down = Tile::down, across = Tile::across;
  constexpr int stages = Tile::stages;
  using FeedA = SimtFeed<T, m, Tile::threads>;
  using FeedB = SimtFeed<T, n, Tile::threads>;
  GRADUS_DYNAMIC_SHARED(T, memory);

  // A warp is four threads down by eight across.
  const Place at = place<m, n>(p);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  constexpr int warps = n / (4 * across) / 8;
  const int row = (warp / warps * 4 + lane / 8) * 4, column = (warp % warps * 8 + lane % 8) * 4;

  int chain = at.chain;
  do {
    const Range terms = chain_terms(p, chain);
    FeedA feed_a(p.a + offset(p, p.stride_a, at.item) + terms.begin * (p.a_by_terms ? 1 : p.lda),
                 p.lda, p.a_by_terms, p.a_aligned, Index(at.down) * m, p.m);
    FeedB feed_b(p.b + offset(p, p.stride_b, at.item) + terms.begin * (p.b_by_terms ? 1 : p.ldb),
                 p.ldb, p.b_by_terms, p.b_aligned, Index(at.across) * n, p.n);
    int left = static_cast<int>(terms.end - terms.begin);
    const auto copy = [&](int stage, int terms) {
      if (terms > 0) {
        T* const tile = memory + stage * Tile::stage;
        feed_a.copy(tile, p.lda, p.a_by_terms, p.a_aligned, terms);
        feed_b.copy(tile + 16 * FeedA::step, p.ldb, p.b_by_terms, p.b_aligned, terms);
      }
      cp_async_commit();
    };

    T sum[4 * down][4 * across] = {};
    const auto multiply = [&](const T* tile, int term) {
      Quad<T> u[down], v[across];
      GRADUS_UNROLL
      for (int i = 0; i < down; ++i)
        u[i] = *reinterpret_cast<const Quad<T>*>(tile + term * FeedA::step + i * (m / down) + row);
      GRADUS_UNROLL
      for (int j = 0; j < across; ++j)
        v[j] = *reinterpret_cast<const Quad<T>*>(tile + 16 * FeedA::step + term * FeedB::step +
                                                 j * (n / across) + column);
      GRADUS_UNROLL
      for (int i = 0; i < 4 * down; ++i) GRADUS_UNROLL
      for (int j = 0; j < 4 * across; ++j)
        sum[i][j] = multiply_add(u[i / 4].v[i % 4], v[j / 4].v[j % 4], sum[i][j]);
    };

    for (int stage = 0; stage < stages - 1; ++stage) copy(stage, left - 16 * stage);
    int stage = 0;
    for (; left > 0; left -= 16) {
      cp_async_wait<stages - 2>();
      __syncthreads();  // these terms are there, and nobody needs those of the step before
      copy(stage == 0 ? stages - 1 : stage - 1, left - 16 * (stages - 1));
      const T* const tile = memory + stage * Tile::stage;
      if (left >= 16) {
        GRADUS_UNROLL
        for (int term = 0; term < 16; ++term) multiply(tile, term);
      } else {
        for (int term = 0; term < left; ++term) multiply(tile, term);
      }
      stage = stage == stages - 1 ? 0 : stage + 1;
    }

    __syncthreads();
    GRADUS_UNROLL
    for (int i = 0; i < 4 * down; ++i) GRADUS_UNROLL
    for (int j = 0; j < across; ++j) {
      const T* const s = &sum[i][4 * j];
      *reinterpret_cast<Quad<T>*>(memory + (i / 4 * (m / down) + row + i % 4) * n +
                                  j * (n / across) + column) = {{s[0], s[1], s[2], s[3]}};
    }
    __syncthreads();
    finish_tile<m, n, Tile::threads>(p, at, chain, memory, n);
    __syncthreads();
  } while (!p.split && ++chain < p.chains);
}

}  // namespace gradus::GRADUS_GPU::product
