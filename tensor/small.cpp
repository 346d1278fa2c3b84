#include "gradus/tensor/small.h"

#include <array>
#include <new>

#include "gradus/tensor/chain.h"
#include "gradus/tensor/sanitized.h"

namespace gradus {
namespace {

constexpr std::size_t step = 64, largest = 1024, kept_bytes = 512 << 10;  // of each size

// Blocks of each size.
struct Lists {
  std::array<detail::Chain, largest / step + 1> of_size;
  bool watched = false;  // the thread's end is
  bool gone = false;     // at the thread's end

  void* take(std::size_t size) noexcept { return of_size[size / step].take(); }
  bool put(void* p, std::size_t size) noexcept {
    detail::Chain& list = of_size[size / step];
    if (list.count * size >= kept_bytes) return false;
    list.put(p);
    return true;
  }
};
// Without a destructor of its own, access takes no call.
[[gnu::tls_model("initial-exec")]] constinit thread_local Lists lists;

struct EndOfThread {
  ~EndOfThread() {
    lists.gone = true;
    for (detail::Chain& list : lists.of_size)
      while (void* p = list.take()) ::operator delete(p);
  }
  void watch() noexcept { lists.watched = true; }
};

constexpr std::size_t rounded(std::size_t bytes) { return (bytes + step - 1) / step * step; }
bool listed(std::size_t size) noexcept { return GRADUS_CACHE && size <= largest && !lists.gone; }

}  // namespace

void* SmallObject::operator new(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  if (listed(size))
    if (void* p = lists.take(size)) return p;
  return ::operator new(size);
}

void SmallObject::operator delete(void* p, std::size_t bytes) noexcept {
  const std::size_t size = rounded(bytes);
  if (!lists.watched) [[unlikely]] {
    thread_local EndOfThread end;
    end.watch();
  }
  if (!listed(size) || !lists.put(p, size)) ::operator delete(p);
}

}  // namespace gradus
