package caddymodules

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/abilian/hop3/hop3/platform"
)

// baseLogging logs what Hop3 says at the given level, and of Caddy only what
// is wrong: an admin starts Hop3, and should not have to know Caddy's parts. It
// all goes to standard error, and to a file of the home for `hop3 system logs`.
func baseLogging(level, home string) *caddy.Logging {
	console := func(level string) *caddy.CustomLog {
		return baseLog(level, `{"output": "stderr"}`, `{"format": "console"}`)
	}
	file := func(level string) *caddy.CustomLog {
		return baseLog(level, serverLogFile(home), `{"format": "json", "time_format": "rfc3339_nano"}`)
	}
	if strings.EqualFold(level, "debug") {
		return &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": console(level), "kept": file(level)}}
	}
	logs := map[string]*caddy.CustomLog{"default": console("WARN"), "hop3": console(level), "kept": file("WARN"), "kept_hop3": file(level)}
	for name, log := range logs {
		if strings.HasSuffix(name, "hop3") {
			log.Include = []string{"hop3"}
			continue
		}
		// The proxy writes each request out as JSON before it knows whether it
		// has something to log; what goes wrong is logged by hop3_apps. That the
		// admin API is closed is no news.
		log.Exclude = []string{"hop3", "http.handlers.reverse_proxy", "admin"}
	}
	return &caddy.Logging{Logs: logs}
}

// serverLogFile is a file of 10 MB and the one before it, for the
// administrator only.
func serverLogFile(home string) string {
	return string(caddyconfig.JSON(map[string]any{
		"output": "file", "filename": filepath.Join(home, platform.ServerLogDir, platform.ServerLogFile), "mode": "0600",
		"roll_size_mb": 10, "roll_keep": 1, "roll_gzip": false,
	}, nil))
}

func baseLog(level, writer, encoder string) *caddy.CustomLog {
	log := &caddy.CustomLog{}
	log.Level = strings.ToUpper(level)
	if level == "" {
		log.Level = "WARN"
	}
	log.WriterRaw, log.EncoderRaw = json.RawMessage(writer), json.RawMessage(encoder)
	return log
}
