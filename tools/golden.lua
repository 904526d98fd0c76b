-- Runs every case of a folder of golden values through the public API:
--   lua5.4 tools/golden.lua spec/fixtures/golden
-- One line a case with its error; exit status 1 on a failure or on an op that is not known.
local golden = require "spec.support.golden"

local folder, message = golden.load(arg[1] or "spec/fixtures/golden")
if not folder then
  io.stderr:write("golden: ", message, "\n")
  os.exit(1)
end

local passed, failed = 0, 0
for _, case in ipairs(golden.cases(folder)) do
  local result = golden.run(case)
  if result.passed then passed = passed + 1 else failed = failed + 1 end
  print(("%-4s %-26s %9.2e%s"):format(result.passed and "ok" or "FAIL", case.name, result.error,
    result.message and "  " .. result.message or ""))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and passed > 0, true)
