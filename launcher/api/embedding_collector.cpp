#include "launcher/api/embedding_collector.h"

#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <cmath>
#include <span>

#include "launcher/api/api_error.h"
#include "launcher/api/base64.h"

namespace terrace {
namespace {

namespace json = boost::json;

static_assert(std::endian::native == std::endian::little, "vectors in base64 are little-endian, and nothing here swaps bytes");

// The leading values, of Euclidean length 1 (a model trained for it, as Matryoshka Representation Learning does, keeps most of the meaning in them).
std::vector<float> normalised(std::span<const float> vector, int32_t dimensions) {
  const std::span<const float> kept = vector.first(std::min(vector.size(), static_cast<size_t>(dimensions)));
  double squares = 0;
  for (const float value : kept) squares += static_cast<double>(value) * static_cast<double>(value);
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> result;
  for (const float value : kept) result.push_back(static_cast<float>(static_cast<double>(value) * scale));
  return result;
}

}  // namespace

bool EmbeddingCollector::accept(int32_t index, const SequenceEvent& event) {
  if (event.finish == FinishReason::kError) throw ApiError(400, event.error, "input");
  if (event.finish == FinishReason::kNone) return false;
  vectors_.at(static_cast<size_t>(index)) = normalised(event.pooled, request_.dimensions);
  ++num_finished_;
  return false;
}

int64_t EmbeddingCollector::prompt_tokens() const {
  int64_t count = 0;
  for (const auto& input : request_.inputs) count += static_cast<int64_t>(input.size());
  return count;
}

json::object EmbeddingCollector::response(const std::string&, const std::string& model, int64_t) const {
  json::array data;
  for (const std::vector<float>& vector : vectors_) {
    json::value embedding = request_.base64 ? json::value(to_base64(std::as_bytes(std::span(vector)))) : json::value(json::array(vector.begin(), vector.end()));
    json::object item{{"object", "embedding"}, {"index", data.size()}};
    item["embedding"] = std::move(embedding);
    data.push_back(std::move(item));
  }
  json::object body{{"object", "list"}, {"model", model}};
  body["data"] = std::move(data);
  body["usage"] = json::object{{"prompt_tokens", prompt_tokens()}, {"total_tokens", prompt_tokens()}};
  return body;
}

}  // namespace terrace
