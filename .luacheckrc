std = "lua54"
files["spec"].std = "+busted"
files["exercises"].max_line_length = 110
