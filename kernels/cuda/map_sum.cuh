// A gradient summed over broadcast axes, with respect to one input, computed where it is summed.
//
// Each sum is cut into chunks that follow from the sizes alone; what one team of threads adds up of
// a chunk, in double, goes to scratch memory, and a second kernel adds the chunks in a fixed order.
// Where the innermost axis is summed and a sum has enough terms, a team is a warp along it;
// elsewhere it is one thread, and neighbouring threads have neighbouring sums.
#pragma once

#include "gradus/kernels/conversion.h"
#include "gradus/kernels/cuda/block.cuh"
#include "gradus/kernels/cuda/map_operands.cuh"

namespace gradus::GRADUS_GPU {

inline bool is_sum(const Extents& extents, const MapGradient& g) {
  for (int a = 0; a < extents.rank; ++a)
    if (g.data && extents.size[a] != 1 && g.stride[a] == 0) return true;
  return false;
}

struct SumPlan {
  bool rows = false;  // a team is a warp
  Index sums = 1;
  Index terms = 1;  // of each sum
  Index chunk = 1;  // terms of a team
  Index chunks = 1;

  SumPlan(const Extents& extents, const MapGradient& g) {
    for (int a = 0; a < extents.rank; ++a) {
      const bool summed = g.stride[a] == 0;
      (summed ? terms : sums) *= extents.size[a];
      if (extents.size[a] > 1) rows = summed;
    }
    rows = rows && terms >= warp_size;
    constexpr Index most_chunks = 8192, warps = 8192, threads = 1 << 18;  // fill any device
    const Index teams = rows ? warps : threads, least_terms = rows ? 1024 : 16;
    Index wanted = teams / (sums > 0 ? sums : 1);
    wanted = wanted < most_chunks ? wanted : most_chunks;
    wanted = wanted > 1 ? wanted : 1;
    chunk = (terms + wanted - 1) / wanted;
    chunk = chunk > least_terms ? chunk : least_terms;
    chunks = terms > chunk ? (terms + chunk - 1) / chunk : 1;
  }
  Index scratch_bytes() const {
    return chunks > 1 ? chunks * sums * static_cast<Index>(sizeof(double)) : 0;
  }
};

template <class F, int K>
struct MapSumArguments {
  F f;
  SumPlan plan;
  int k;                     // with respect to input k
  Nest<K + 2> kept, summed;  // sums and terms, the operands as of MapGradientArguments
  const void* data[K + 2];
  double* partial;  // [sums][chunks]; null: the only chunk is the sum
  void* sum;
};

// The terms begin, begin + step, ... < end of the sum whose operands begin at `base`.
template <int k, class F, class S, int K>
GRADUS_DEVICE double sum_of_terms(const MapSumArguments<F, K>& a, const Index (&base)[K + 2],
                                  Index begin, Index end, Index step) {
  using T = computed<S>;
  using L = Scalar<T>;
  constexpr int N = K + 2;
  constexpr unsigned booleans = boolean_inputs<F>() << 1;
  const auto term = [&](const Index(&offset)[N]) {
    std::array<L, N> x;
    for_each_operand<N>([&](auto j) {
      using Stored = stored<S, booleans, j>;
      x[j] = read_as<T>(static_cast<const Stored*>(a.data[j])[base[j] + offset[j]]);
    });
    return static_cast<double>(gradient_at<k, F>(a.f, x).v);
  };
  double sum = 0;
  Index offset[N];
  if (a.summed.rank == 1) {
    Index jump[N];
    GRADUS_UNROLL
    for (int j = 0; j < N; ++j) {
      offset[j] = begin * a.summed.stride[j][0];
      jump[j] = step * a.summed.stride[j][0];
    }
    GRADUS_UNROLL_BY(2)
    for (Index i = begin; i < end; i += step) {
      sum += term(offset);
      GRADUS_UNROLL
      for (int j = 0; j < N; ++j) offset[j] += jump[j];
    }
  } else {
    GRADUS_UNROLL_BY(1)
    for (Index i = begin; i < end; i += step) {
      a.summed.locate(i, offset);
      sum += term(offset);
    }
  }
  return sum;
}

inline constexpr int sum_threads = 256;

template <class F, class S, int K>
__global__ void __launch_bounds__(sum_threads)
    map_sum_kernel(const __grid_constant__ MapSumArguments<F, K> a) {
  const SumPlan& plan = a.plan;
  const Index thread = Index{blockIdx.x} * sum_threads + threadIdx.x;
  const Index team = plan.rows ? thread / warp_size : thread;
  const int lane = plan.rows ? static_cast<int>(threadIdx.x) % warp_size : 0;
  const bool active = team < plan.sums * plan.chunks;
  // Neighbours have neighbouring chunks of a row, or neighbouring sums.
  const Index sum = plan.rows ? team / plan.chunks : team % plan.sums;
  const Index chunk = plan.rows ? team % plan.chunks : team / plan.sums;
  double total = 0;
  if (active) {
    Index base[K + 2];
    a.kept.locate(sum, base);
    const Index begin = chunk * plan.chunk;
    const Index end = begin + plan.chunk < plan.terms ? begin + plan.chunk : plan.terms;
    for_each_operand<K>([&](auto k) {
      if (a.k == k)
        total = sum_of_terms<k, F, S, K>(a, base, begin + lane, end, plan.rows ? warp_size : 1);
    });
  }
  if (plan.rows) total = fold_lanes(total, warp_size, Plus());
  if (!active || lane != 0) return;
  if (a.partial)
    a.partial[sum * plan.chunks + chunk] = total;
  else
    static_cast<S*>(a.sum)[sum] = converted<S>(total);
}

// A warp adds the chunks of one sum.
template <class S>
__global__ void __launch_bounds__(sum_threads)
    add_chunks_kernel(const double* partial, Index sums, Index chunks, S* y) {
  const Index sum = (Index{blockIdx.x} * sum_threads + threadIdx.x) / warp_size;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  double total = 0;
  if (sum < sums) {
    GRADUS_UNROLL_BY(8)
    for (Index i = lane; i < chunks; i += warp_size) total += partial[sum * chunks + i];
  }
  total = fold_lanes(total, warp_size, Plus());
  if (sum < sums && lane == 0) y[sum] = converted<S>(total);
}

// Returns the scratch memory that is left.
template <class F, class S, int K>
void* run_map_sum(const F& f, const Extents& extents, std::span<const MapInput> inputs,
                  const MapGradient& g, int k, void* scratch) {
  constexpr int N = K + 2;
  MapSumArguments<F, K> a{f, SumPlan(extents, g), k, {}, {}, {}, nullptr, g.data};
  if (a.plan.sums == 0) return scratch;
  for (int axis = 0; axis < extents.rank; ++axis) {
    Index strides[N];
    for (int j = 0; j < N; ++j) strides[j] = inputs[static_cast<std::size_t>(j)].stride[axis];
    (g.stride[axis] == 0 ? a.summed : a.kept).add(extents.size[axis], strides);
  }
  a.kept.close();
  a.summed.close();
  for (int j = 0; j < N; ++j) a.data[j] = inputs[static_cast<std::size_t>(j)].data;
  const Index bytes = a.plan.scratch_bytes();
  if (bytes) a.partial = static_cast<double*>(scratch);
  const Index teams = a.plan.sums * a.plan.chunks;
  launch(formula_name<F>(), map_sum_kernel<F, S, K>,
         blocks_for(a.plan.rows ? teams * warp_size : teams, sum_threads), sum_threads, 0, a);
  if (bytes)
    GRADUS_LAUNCH(add_chunks_kernel<S>, blocks_for(a.plan.sums * warp_size, sum_threads),
                  sum_threads, 0, a.partial, a.plan.sums, a.plan.chunks, static_cast<S*>(g.data));
  return static_cast<char*>(scratch) + bytes;
}

}  // namespace gradus::GRADUS_GPU
