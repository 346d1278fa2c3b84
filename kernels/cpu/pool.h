// The library's threads: one small pool for the process. Work is cut into tiles that follow from
// the sizes alone, so results never depend on the number of threads; the caller works too and takes
// over the tiles of a worker that does not come.
#pragma once

#include <cstdint>
#include <type_traits>

#include "gradus/kernels/export.h"

namespace gradus {

// Threads that operations use, the caller included. Starts as GRADUS_THREADS or the processors this
// process may use. set_threads(n) throws Error where n is not from 1 to 256, and while work is
// running. A GRADUS_THREADS that is no such number is ignored.
GRADUS_API int threads() noexcept;
GRADUS_API void set_threads(int n);

namespace cpu {

// Which of the pool's threads runs this, below threads(): 0 for those that are not of the pool. Two
// tiles of one call that run at the same time have different ones.
GRADUS_API int worker() noexcept;

namespace detail {
GRADUS_API void run_tiles(std::int64_t tiles, void (*body)(void* context, std::int64_t tile),
                          void* context);
}

// Calls body(i) once for each i in [0, tiles), in any order, on any of the pool's threads, and
// returns when all are done. The first exception of a tile reaches the caller (the tiles that had
// not begun are skipped). Nested calls, and calls while another thread holds the pool, run on the
// caller.
template <class Body>
void parallel(std::int64_t tiles, Body&& body) {
  if (tiles <= 1) {
    if (tiles == 1) body(std::int64_t{0});
    return;
  }
  detail::run_tiles(
      tiles,
      [](void* context, std::int64_t tile) {
        (*static_cast<std::remove_reference_t<Body>*>(context))(tile);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace cpu
}  // namespace gradus
