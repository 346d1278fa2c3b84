#include "gradus/nn/data.h"

#include <algorithm>

#include "gradus/autograd/ops.h"

namespace gradus::data {
namespace {

Tensor converted(const Column& column, const Tensor& rows) {
  return column.to_unit ? rows.to(DType::f32) / 255.0 : rows;
}

}  // namespace

Dataset::Dataset(std::vector<Column> columns) : columns_(std::move(columns)) {
  require(!columns_.empty(), "Dataset: has no columns");
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const Column& c = columns_[i];
    require(c.rows.dim() >= 1, "Dataset: column ", i, " has no rows: its shape is ",
            c.rows.shape());
    require(!c.to_unit || c.rows.dtype() == DType::u8, "Dataset: column ", i,
            " cannot be scaled from 0 .. 255: it is ", c.rows.dtype(), ", not u8");
    require(i == 0 || c.rows.size(0) == size_, "Dataset: columns differ in rows: column 0 has ",
            size_, ", column ", i, " has ", c.rows.size(0));
    size_ = c.rows.size(0);
  }
}

Batch Dataset::rows(const Tensor& numbers) const {
  const NoGrad no_grad;
  Batch batch;
  for (const Column& c : columns_)
    batch.push_back(converted(c, index_select(c.rows, 0, numbers.to(c.rows.device()))));
  return batch;
}

Batch Dataset::range(std::int64_t start, std::int64_t stop) const {
  require(0 <= start && start <= stop && stop <= size_, "Dataset: range ", start, " .. ", stop,
          " of ", size_, " examples");
  const NoGrad no_grad;
  Batch batch;
  for (const Column& c : columns_) batch.push_back(converted(c, c.rows.slice(0, start, stop)));
  return batch;
}

Loader::Loader(Dataset dataset, std::int64_t batch_size, const Generator& generator,
               LoaderOptions options)
    : dataset_(std::move(dataset)),
      batch_size_(batch_size),
      generator_(generator),
      shuffle_(options.shuffle) {
  const std::int64_t n = dataset_.size();
  require(batch_size > 0, "Loader: the batch size must be positive: ", batch_size);
  require(n > 0, "Loader: the data set has no examples");
  require(!options.drop_last || n >= batch_size, "Loader: ", n, " examples do not fill a batch of ",
          batch_size, ", and drop_last leaves out the rest");
  batches_ = n / batch_size + (n % batch_size != 0 && !options.drop_last);
}

void Loader::set_position(Position position) {
  require(position.epoch >= 0 && position.batch >= 0 && position.batch < batches_,
          "Loader: no such position: epoch ", position.epoch, ", batch ", position.batch, " of ",
          batches_);
  position_ = position;
}

Batch Loader::next() {
  const std::int64_t start = position_.batch * batch_size_;
  const std::int64_t stop = std::min(start + batch_size_, dataset_.size());
  if (shuffle_ && ordered_ != position_.epoch) {
    // A permutation uses up as many numbers of the stream as it has elements.
    Generator generator = generator_;
    generator.set_offset(generator_.offset() + static_cast<std::uint64_t>(position_.epoch) *
                                                   static_cast<std::uint64_t>(dataset_.size()));
    order_ = permutation(dataset_.size(), generator);
    ordered_ = position_.epoch;
  }
  Batch batch =
      shuffle_ ? dataset_.rows(order_.slice(0, start, stop)) : dataset_.range(start, stop);
  if (++position_.batch == batches_) position_ = {position_.epoch + 1, 0};
  return batch;
}

}  // namespace gradus::data
