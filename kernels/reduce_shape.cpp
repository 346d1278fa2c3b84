// A reduction's loops, split, merged and put in order.
#include <cstdlib>

#include "gradus/kernels/reduce.h"

namespace gradus {
namespace {

using Index = std::int64_t;

void append(Extents& e, Index* strides, Index size, Index stride) {
  if (size == 1) return;
  const int last = e.rank - 1;
  if (last >= 0 && strides[last] == size * stride) {
    e.size[last] *= size;
    strides[last] = stride;
  } else {
    e.size[e.rank] = size;
    strides[e.rank++] = stride;
  }
}

}  // namespace

ReduceShape reduce_shape(const Extents& extents, const Index* stride, unsigned axes) {
  ReduceShape s;
  for (int i = 0; i < extents.rank; ++i) {
    if (axes >> i & 1)
      append(s.reduced, s.reduced_stride, extents.size[i], stride[i]);
    else
      append(s.kept, s.kept_stride, extents.size[i], stride[i]);
  }
  return s;
}

ReduceShape in_memory_order(const ReduceShape& s) {
  int order[max_rank];
  for (int i = 0; i < s.reduced.rank; ++i) {
    int at = i;
    for (; at > 0 && std::abs(s.reduced_stride[order[at - 1]]) < std::abs(s.reduced_stride[i]);
         --at)
      order[at] = order[at - 1];
    order[at] = i;
  }
  ReduceShape r = s;
  r.reduced.rank = 0;
  for (int i = 0; i < s.reduced.rank; ++i)
    append(r.reduced, r.reduced_stride, s.reduced.size[order[i]], s.reduced_stride[order[i]]);
  return r;
}

}  // namespace gradus
