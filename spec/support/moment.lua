--- For specs: when a signal is to come. A process is watched until it is where the signal shall meet it, however long
-- that takes: on a busy machine it may be any time.

local M = {}

--- Lines of shell that wait until a process is held up, as by a read of what nobody has written yet, or has ended.
-- @param pid text of the shell
function M.asleep(pid)
  return ("while :; do case $(ps -o state= -p %s) in S*|Z*|'') break;; esac; sleep 0.01; done\n"):format(pid)
end

-- What a process has computed so far, in clock ticks, mostly hundredths of a second.
local TICKS = [[$(sed 's/.*) //' /proc/%s/stat 2>/dev/null | awk '{print $12 + $13}')]]

--- ... until it has computed for some hundredths of a second from now on, or has ended.
function M.busy(pid)
  local ticks = TICKS:format(pid)
  return ("from=%s; while [ $((%s - from)) -lt 5 ] && kill -0 %s 2>/dev/null; do sleep 0.01; done\n"):format(ticks,
    ticks, pid)
end

--- Sends this process a signal, from outside.
-- @param when `asleep` or `busy`: what it does by then, and has not begun yet
-- @param name INT, TERM and so on
function M.signal(when, name)
  local pid = require("latent.core").pid()
  -- This process waits for the shell first: until that has ended and is no zombie.
  os.execute(("( { while kill -0 $$; do sleep 0.01; done; sleep 0.1; %s kill -%s %d; } >/dev/null 2>&1 ) &"):format(
    M[when](pid), name, pid))
end

return M
