// The endpoints whose requests the engine computes; over HTTP and as a batch line's url.
#pragma once

#include <optional>
#include <string_view>

namespace terrace {

enum class Endpoint { kCompletions, kChatCompletions, kEmbeddings };

/// For messages.
inline constexpr std::string_view kEndpointUrls = R"("/v1/completions", "/v1/chat/completions" or "/v1/embeddings")";

/// nullopt for any other url.
inline std::optional<Endpoint> endpoint_of(std::string_view url) {
  if (url == "/v1/completions") return Endpoint::kCompletions;
  if (url == "/v1/chat/completions") return Endpoint::kChatCompletions;
  if (url == "/v1/embeddings") return Endpoint::kEmbeddings;
  return std::nullopt;
}

}  // namespace terrace
