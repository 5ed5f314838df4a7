package addons

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/hop3"
)

// Actions are flush, query and info.
func (r *Redis) Actions() []hop3.AddonAction {
	return []hop3.AddonAction{
		{Name: "flush", Summary: "Delete all keys", Changes: true, Destroys: true, Run: r.flush},
		{Name: "query", Aliases: []string{"cli"}, Summary: "Run a command of Redis", Usage: "COMMAND…", Changes: true, Run: r.query},
		{Name: "info", Summary: "Show what the server says of itself", Usage: "[SECTION]", Run: r.info},
	}
}

func (r *Redis) flush(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	if len(args) > 0 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "flush deletes all keys, and takes nothing: not %.80q", args[0])
	}
	db, err := r.asApp(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer closeRedis(db)
	if own(a) {
		err = db.FlushAll(ctx).Err()
	} else {
		err = db.FlushDB(ctx).Err()
	}
	if err != nil {
		return hop3.AddonReport{}, redisError(ctx, a, err)
	}
	return hop3.AddonReport{Text: a.ID().String() + " holds no keys any more."}, nil
}

// notHere are commands that a single one cannot be: they change the connection,
// or wait. Those that destroy have commands of their own, which ask first.
var notHere = []string{
	"subscribe", "psubscribe", "ssubscribe", "monitor", "sync", "psync", "replconf", "quit", "reset", "hello", "auth", "multi", "exec", "watch",
	"blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "wait", "waitaof", "client", "select",
}

// query runs a command as the app does, with its rights.
func (r *Redis) query(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	words := givenCommand(args)
	if len(words) == 1 {
		var err error
		if words, err = splitWords(words[0]); err != nil {
			return hop3.AddonReport{}, err
		}
	}
	if len(words) == 0 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "there is no command to run").WithHint("Write it after the addon's name: query cache GET greeting")
	}
	switch name := strings.ToLower(words[0]); {
	case name == "flushall", name == "flushdb":
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "%s deletes all keys", strings.ToUpper(name)).WithHint("That is the command `hop3 addon redis flush %s`, which asks first.", a.Name)
	case slices.Contains(notHere, name), name == "xread" && hasWord(words, "block"), name == "xreadgroup" && hasWord(words, "block"):
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "%s cannot be run here", strings.ToUpper(name)).WithHint("One command is run, and its reply shown: it must not wait, nor be for commands that follow.")
	}
	db, err := r.asApp(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer closeRedis(db)
	command := make([]any, len(words))
	for i, w := range words {
		command[i] = w
	}
	reply, err := db.Do(ctx, command...).Result()
	var refused redis.Error
	switch {
	case errors.Is(err, redis.Nil):
		reply = nil
	case errors.As(err, &refused):
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "Redis: %s", printable(refused.Error())).WithHint("Commands that concern the whole server are refused.")
	case err != nil:
		return hop3.AddonReport{}, redisError(ctx, a, err)
	}
	var text strings.Builder
	showReply(&text, reply, "")
	return hop3.AddonReport{Text: strings.TrimRight(text.String(), "\n")}, nil
}

func hasWord(words []string, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}

// maxReply bounds what a query shows, in bytes.
const maxReply = 1 << 20

// showReply writes a reply as redis-cli does, a line for each part.
func showReply(text *strings.Builder, reply any, indent string) {
	if text.Len() > maxReply {
		return
	}
	switch v := reply.(type) {
	case nil:
		text.WriteString("(nil)\n")
	case int64:
		text.WriteString("(integer) " + strconv.FormatInt(v, 10) + "\n")
	case string:
		text.WriteString(printable(v) + "\n")
	case []any:
		if len(v) == 0 {
			text.WriteString("(empty array)\n")
		}
		for i, part := range v {
			mark := strconv.Itoa(i+1) + ") "
			if i > 0 {
				text.WriteString(indent)
			}
			text.WriteString(mark)
			showReply(text, part, indent+strings.Repeat(" ", len(mark)))
			if text.Len() > maxReply {
				text.WriteString("…\n")
				return
			}
		}
	default:
		fmt.Fprintf(text, "%s\n", printable(fmt.Sprint(v)))
	}
}

// printable is a text as it is where it is plain, and in quotes where it is
// not: whoever wrote it does not write to the terminal.
func printable(s string) string {
	if len(s) > maxReply {
		s = s[:maxReply] + "…"
	}
	for _, c := range s {
		if !strconv.IsPrint(c) && c != '\n' || c == '\uFFFD' {
			return strconv.Quote(s)
		}
	}
	return s
}

func (r *Redis) info(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	if len(args) > 1 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "info takes one section, such as memory")
	}
	admin, err := r.admin(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	defer closeRedis(admin)
	text, err := admin.Info(ctx, args...).Result()
	if err != nil {
		return hop3.AddonReport{}, redisError(ctx, a, err)
	}
	report := hop3.AddonReport{Headers: []string{"Property", "Value"}}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || key == "config_file" || key == "executable" { // are the server's own affair
			continue
		}
		report.Rows = append(report.Rows, []string{key, printable(value)})
	}
	if report.Rows == nil {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "there is no section %.80q", strings.Join(args, " ")).WithHint("There are server, clients, memory, persistence, stats, replication, cpu, commandstats and keyspace.")
	}
	return report, nil
}
