#include "gradus/tensor/storage.h"

#include <cstring>
#include <new>

#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/error.h"

namespace gradus {
namespace {

// A storage and its data share one block; the data keep the block's alignment.
constexpr std::int64_t header = (sizeof(Storage) + 63) / 64 * 64;

}  // namespace

Ref<Storage> Storage::allocate(std::int64_t bytes, Device device) {
  if (device != Device::cpu) {
    require_available(device);
    auto* s = new Storage;
    Ref<Storage> owner = Ref<Storage>::adopt(s);
    s->device_ = device;
    s->data_ = static_cast<std::byte*>(GRADUS_RUN_ON_DEVICE(device, allocate(bytes)));
    s->bytes_ = bytes;
    return owner;
  }
  void* block = detail::allocate(header + bytes);
  auto* s = new (block) Storage;
  s->data_ = static_cast<std::byte*>(block) + header;
  s->bytes_ = bytes;
  s->device_ = device;
  s->header_ = header;
  return Ref<Storage>::adopt(s);
}

Ref<Storage> Storage::wrap(void* data, std::int64_t bytes, std::function<void()> release) {
  auto* s = new Storage;
  s->data_ = static_cast<std::byte*>(data);
  s->bytes_ = bytes;
  s->release_ = std::move(release);
  return Ref<Storage>::adopt(s);
}

Ref<Storage> Storage::lazy_copy(const Ref<Storage>& of) {
  if (of->device_ != Device::cpu || (of->header_ == 0 && !of->memory_)) return {};
  auto* s = new Storage;
  s->data_ = of->data_;
  s->bytes_ = of->bytes_;
  s->borrow(of->memory_ ? of->memory_ : of);
  return Ref<Storage>::adopt(s);
}

void Storage::separate() {
  Ref<Storage> own = allocate(bytes_, device_);
  std::memcpy(own->data_, data_, static_cast<std::size_t>(bytes_));
  data_ = own->data_;
  borrow(std::move(own));
}

void Storage::borrow(Ref<Storage> memory) noexcept {
  if (memory) memory->borrowers_.fetch_add(1, std::memory_order_relaxed);
  if (memory_) memory_->borrowers_.fetch_sub(1, std::memory_order_release);
  memory_ = std::move(memory);
}

void Storage::destroy() noexcept {
  if (device_ != Device::cpu) {
    if (data_) GRADUS_FREE_ON_DEVICE(device_, deallocate(data_, bytes_));
    delete this;
    return;
  }
  if (header_ == 0) {
    const std::function<void()> done = std::move(release_);
    delete this;
    if (done) done();
    return;
  }
  const std::int64_t block = header_ + bytes_;
  this->~Storage();
  detail::deallocate(this, block);
}

}  // namespace gradus
