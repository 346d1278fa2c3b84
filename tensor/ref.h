// An intrusive reference-counted pointer: one word, no control block.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace gradus {

// T provides retain(T*) and release(T*), found by argument-dependent look-up.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* p) noexcept : p_(p) {
    if (p_) retain(p_);
  }
  Ref(const Ref& o) noexcept : Ref(o.p_) {}
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() {
    if (p_) release(p_);
  }
  // Takes over a pointer whose count already includes this reference.
  static Ref adopt(T* p) noexcept {
    Ref r;
    r.p_ = p;
    return r;
  }
  T* get() const noexcept { return p_; }
  T* operator->() const noexcept { return p_; }
  T& operator*() const noexcept { return *p_; }
  explicit operator bool() const noexcept { return p_ != nullptr; }
  friend bool operator==(const Ref&, const Ref&) = default;

 private:
  T* p_ = nullptr;
};

// The count itself; starts at one, for adopt().
class Counted {
 public:
  void add_reference() const noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  // True when that was the last one. Nobody else can copy a reference that is the only one: most
  // results of operations go without an atomic subtraction.
  bool drop_reference() const noexcept {
    return count_.load(std::memory_order_acquire) == 1 ||
           count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  std::uint32_t references() const noexcept { return count_.load(std::memory_order_acquire); }

 private:
  mutable std::atomic<std::uint32_t> count_{1};
};

}  // namespace gradus
