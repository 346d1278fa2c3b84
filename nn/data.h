// Data sets in memory, and batches of them.
//
//   data::Loader loader({data::unit(images), labels}, 128, generator.fork(1));
//   while (loader.position().epoch < 10)
//     for (const data::Batch& batch : loader) step(batch[0], batch[1]);
#pragma once

#include <cstdint>
#include <vector>

#include "gradus/tensor/random.h"

namespace gradus::data {

// A tensor of which each row, along the first axis, belongs to one example.
struct Column {
  Tensor rows;
  bool to_unit = false;  // u8 numbers 0 .. 255 become f32 numbers 0 .. 1 in a batch

  Column(Tensor t) : rows(std::move(t)) {}
  Column(Tensor t, bool unit) : rows(std::move(t)), to_unit(unit) {}
};
inline Column unit(Tensor rows) { return Column(std::move(rows), true); }

// The rows of some examples, one tensor a column.
using Batch = std::vector<Tensor>;

// Columns with the same number of rows; one that is scaled to unit is u8. The tensors are shared,
// not copied.
class GRADUS_API Dataset {
 public:
  Dataset(std::vector<Column> columns);
  Dataset(std::initializer_list<Column> columns) : Dataset(std::vector<Column>(columns)) {}
  std::int64_t size() const noexcept { return size_; }
  // The examples of these numbers (i64, rank 1), in new memory.
  Batch rows(const Tensor& numbers) const;
  // Examples start .. stop - 1; columns that are not converted are views.
  Batch range(std::int64_t start, std::int64_t stop) const;

 private:
  std::vector<Column> columns_;
  std::int64_t size_ = 0;
};

struct LoaderOptions {
  bool shuffle = true;
  bool drop_last =
      false;  // leave out the last batch of an epoch where it is smaller than the others
};

// Where a loader stands: the next batch that it hands out.
struct Position {
  std::int64_t epoch = 0, batch = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

// Hands out a data set in batches, epoch after epoch. Each epoch has an order of its own, a
// function of the generator and the epoch alone, so a position says all that is needed to resume.
// Batches are read only: without shuffling they may be views of the data set.
class GRADUS_API Loader {
 public:
  // The loader keeps a copy of the generator: give it a stream of its own (generator.fork(1)).
  Loader(Dataset dataset, std::int64_t batch_size, const Generator& generator,
         LoaderOptions options = {});

  const Dataset& dataset() const noexcept { return dataset_; }
  std::int64_t batches() const noexcept { return batches_; }  // of an epoch
  // While a batch is worked on, the position is already that of the one after it.
  Position position() const noexcept { return position_; }
  void set_position(Position position);
  // The batch at the position, which moves on; after the last one to the next epoch.
  Batch next();

  // A range of the batches left in this epoch: all of them, or where a resumed one goes on.
  class Iterator {
   public:
    const Batch& operator*() const noexcept { return batch_; }
    Iterator& operator++() {
      if (loader_->position_.epoch == epoch_)
        batch_ = loader_->next();
      else
        loader_ = nullptr;
      return *this;
    }
    struct End {};
    bool operator!=(End) const noexcept { return loader_ != nullptr; }

   private:
    friend Loader;
    explicit Iterator(Loader* loader)
        : loader_(loader), epoch_(loader->position_.epoch), batch_(loader->next()) {}
    Loader* loader_;
    std::int64_t epoch_;
    Batch batch_;
  };
  Iterator begin() { return Iterator(this); }
  Iterator::End end() const noexcept { return {}; }

 private:
  Dataset dataset_;
  std::int64_t batch_size_, batches_;
  Generator generator_;
  bool shuffle_;
  Position position_;
  Tensor order_;  // of epoch ordered_
  std::int64_t ordered_ = -1;
};

}  // namespace gradus::data
