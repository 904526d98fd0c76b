--- A text as UTF-8, which JSON and HTML want: each byte that is none becomes U+FFFD.
-- @module latent.base.valid

--- @tparam string text
-- @treturn string
return function(text)
  local parts, from = {}, 1
  local _, bad = utf8.len(text)
  if not bad then return text end
  while bad do
    parts[#parts + 1], parts[#parts + 2] = text:sub(from, bad - 1), "\u{FFFD}"
    from = bad + 1
    _, bad = utf8.len(text, from)
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end
