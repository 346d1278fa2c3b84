#include "gradus/tensor/small.h"

#include <array>
#include <new>

#include "gradus/tensor/sanitized.h"

namespace gradus {
namespace {

constexpr std::size_t step = 64, largest = 1024, kept_bytes = 512 << 10;  // of each size

// Blocks of each size, chained through their first word.
struct Lists {
  struct List {
    void* first = nullptr;
    std::size_t count = 0;
  };
  std::array<List, largest / step + 1> of_size;
  bool watched = false;  // the thread's end is
  bool gone = false;     // at the thread's end

  void* take(std::size_t size) noexcept {
    List& list = of_size[size / step];
    void* p = list.first;
    if (p) list.first = *static_cast<void**>(p), --list.count;
    return p;
  }
  bool put(void* p, std::size_t size) noexcept {
    List& list = of_size[size / step];
    if (list.count * size >= kept_bytes) return false;
    *static_cast<void**>(p) = list.first;
    list.first = p, ++list.count;
    return true;
  }
};
// Without a destructor of its own, access takes no call.
[[gnu::tls_model("initial-exec")]] constinit thread_local Lists lists;

struct EndOfThread {
  ~EndOfThread() {
    lists.gone = true;
    for (Lists::List& list : lists.of_size)
      while (void* p = list.first) {
        list.first = *static_cast<void**>(p);
        ::operator delete(p);
      }
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
