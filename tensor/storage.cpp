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
  Ref<Storage> block = allocate_block(bytes);
  if (bytes >= lent_from) block = on(std::move(block));
  return block;
}

Ref<Storage> Storage::allocate_block(std::int64_t bytes) {
  void* block = detail::allocate(header + bytes);
  auto* s = new (block) Storage;
  s->data_ = static_cast<std::byte*>(block) + header;
  s->bytes_ = bytes;
  s->header_ = header;
  return Ref<Storage>::adopt(s);
}

Ref<Storage> Storage::on(Ref<Storage> memory) {
  auto* s = new Storage;
  s->data_ = memory->data_;
  s->bytes_ = memory->bytes_;
  s->memory_ = std::move(memory);
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
  return of->memory_ ? on(of->memory_) : Ref<Storage>();
}

void Storage::separate() {
  Ref<Storage> own = allocate_block(bytes_);
  std::memcpy(own->data_, data_, static_cast<std::size_t>(bytes_));
  data_ = own->data_;
  memory_ = std::move(own);
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
