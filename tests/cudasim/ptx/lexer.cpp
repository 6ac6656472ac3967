#include "tests/cudasim/ptx/lexer.h"

#include <cctype>

namespace cudasim::ptx {

namespace {

bool starts_word(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '.' || c == '%' || c == '$' || c == '_'; }

bool continues_word(char c) { return starts_word(c) || std::isdigit(static_cast<unsigned char>(c)); }

}  // namespace

void Lexer::skip_space() {
  while (offset_ < text_.size()) {
    const char c = text_[offset_];
    if (c == '\n') {
      ++line_, ++offset_;
    } else if (std::isspace(static_cast<unsigned char>(c))) {
      ++offset_;
    } else if (c == '/' && at(offset_ + 1) == '/') {
      while (offset_ < text_.size() && text_[offset_] != '\n') ++offset_;
    } else if (c == '/' && at(offset_ + 1) == '*') {
      for (offset_ += 2; offset_ < text_.size() && !(text_[offset_] == '*' && at(offset_ + 1) == '/'); ++offset_) line_ += text_[offset_] == '\n';
      offset_ += 2;
    } else {
      return;
    }
  }
}

Token Lexer::next() {
  skip_space();
  if (offset_ >= text_.size()) return {Token::Kind::kEnd, {}, line_};
  const size_t begin = offset_;
  const char c = text_[begin];
  Token::Kind kind = Token::Kind::kPunctuation;
  if (starts_word(c)) {
    kind = Token::Kind::kWord;
    while (true) {  // "L1::no_allocate" is part of an opcode, "label:" is not a longer word
      if (continues_word(at(offset_))) {
        ++offset_;
      } else if (at(offset_) == ':' && at(offset_ + 1) == ':') {
        offset_ += 2;
      } else {
        break;
      }
    }
  } else if (std::isdigit(static_cast<unsigned char>(c))) {
    kind = Token::Kind::kNumber;
    while (std::isalnum(static_cast<unsigned char>(at(offset_)))) ++offset_;
  } else if (c == '"') {
    const size_t end = text_.find('"', begin + 1);
    offset_ = end == std::string_view::npos ? text_.size() : end + 1;
    return {Token::Kind::kString, text_.substr(begin + 1, offset_ - begin - 2), line_};
  } else {
    ++offset_;
  }
  return {kind, text_.substr(begin, offset_ - begin), line_};
}

void Lexer::skip_line() {
  while (offset_ < text_.size() && text_[offset_] != '\n') ++offset_;
}

void Lexer::skip_braces() {
  for (int depth = 1; offset_ < text_.size() && depth > 0; ++offset_) {
    const char c = text_[offset_];
    line_ += c == '\n';
    depth += (c == '{') - (c == '}');
  }
}

}  // namespace cudasim::ptx
