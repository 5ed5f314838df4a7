package addons

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/addons/rdb"
	"github.com/abilian/hop3/hop3"
)

// Restore loads a dump beside what the addon holds, and exchanges the two when
// all of it is there. It reads dumps of Hop3, snapshots of Redis, and the JSON
// of Hop3 for Python.
func (r *Redis) Restore(ctx context.Context, a hop3.Addon, in io.Reader) error {
	options, err := r.dumpOptions(ctx, a)
	if err != nil {
		return err
	}
	admin, err := r.admin(ctx, a)
	if err != nil {
		return err
	}
	defer closeRedis(admin)
	l := &redisLoad{addon: a, admin: admin, options: options}
	release, err := r.chooseScratch(ctx, l)
	if err != nil {
		return err
	}
	defer release()
	if err := flushRedis(ctx, admin, l.scratch...); err != nil {
		return redisError(ctx, a, err)
	}
	err = l.load(ctx, in)
	if err == nil {
		err = l.exchange(ctx)
	}
	if l.direct() {
		return l.partly(err)
	}
	// What was made is of no more use, nor what was replaced.
	if cleared := flushRedis(context.WithoutCancel(ctx), admin, l.scratch...); err == nil {
		err = redisError(ctx, a, cleared)
	}
	return err
}

// redisLoad is a restore on its way.
type redisLoad struct {
	addon   hop3.Addon
	admin   *redis.Client
	options *redis.Options
	conn    *redisConn

	mine, scratch []int // the addon's databases, and where each is prepared
	functions     [][]byte
	lasting       int64
	pending       int // commands without a reply so far
	bytes         int64
	db            int // selected on conn
}

// chooseScratch settles where the dump is loaded. On a configured server it is
// a database that nobody has; without one the addon's own.
func (r *Redis) chooseScratch(ctx context.Context, l *redisLoad) (release func(), err error) {
	if own(l.addon) {
		for n := range redisDatabases {
			l.mine, l.scratch = append(l.mine, n), append(l.scratch, n+redisDatabases)
		}
		return func() {}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := int(number(l.addon.Details[redisDB]))
	l.mine, l.scratch = []int{mine}, []int{mine}
	owners, count, err := redisOwners(ctx, l.admin, l.addon)
	if err != nil {
		return nil, err
	}
	for n := count - 1; n > 0; n-- {
		if _, taken := owners[n]; taken || !r.planned.take(strconv.Itoa(n)) {
			continue
		}
		l.scratch[0] = n
		return func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.planned.forget(strconv.Itoa(n))
		}, nil
	}
	return func() {}, nil
}

func (l *redisLoad) direct() bool { return l.mine[0] == l.scratch[0] }

// partly says what a restore that failed has left where there was no room to
// prepare it.
func (l *redisLoad) partly(err error) error {
	if err == nil {
		return nil
	}
	e := hop3.Errorf(hop3.CodeOf(err), "%s holds only a part of the dump now, and nothing of what it held before: %s", l.addon.ID(), hop3.MessageOf(err))
	e.Err = err
	return e.WithHint("Restore it again. With a database of the server to spare, a restore that fails changes nothing.")
}

func (l *redisLoad) load(ctx context.Context, in io.Reader) error {
	conn, err := dialRedis(ctx, l.options)
	if err != nil {
		return redisError(ctx, l.addon, err)
	}
	defer conn.close()
	l.conn = conn
	buffered := bufio.NewReaderSize(in, 64<<10)
	head, err := buffered.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return hop3.Errorf(hop3.CodeInvalid, "the dump is empty").WithHint("Not even an addon that holds nothing has an empty dump: make another one.")
	case err != nil:
		return fmt.Errorf("reading the dump: %w", err)
	case head[0] == '{':
		err = l.loadJSON(buffered)
	default:
		err = l.loadSnapshot(buffered)
	}
	if err == nil {
		err = l.settle()
	}
	if err == nil {
		err = atEnd(buffered)
	}
	return l.loadError(ctx, err)
}

// atEnd refuses what follows a dump, and what could not be read to its end.
func atEnd(in *bufio.Reader) error {
	switch _, err := in.ReadByte(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("reading the dump: %w", err)
	}
	return hop3.Errorf(hop3.CodeInvalid, "the dump goes on after its end").WithHint("It is damaged: take another one.")
}

// loadError makes a sentence of what ended a load.
func (l *redisLoad) loadError(ctx context.Context, err error) error {
	var refused redisReply
	switch {
	case err == nil || ctx.Err() != nil:
		return redisError(ctx, l.addon, err)
	case errors.Is(err, rdb.ErrCorrupt):
		e := hop3.Errorf(hop3.CodeInvalid, "%s", err)
		e.Err = err
		return e.WithHint("A dump of Redis is a file *.rdb, whole, or the JSON of Hop3 for Python.")
	case errors.As(err, &refused) && (refused == "ERR Bad data format" || refused == "ERR DUMP payload version or checksum are wrong"):
		return hop3.Errorf(hop3.CodeInvalid, "the server refuses the dump's data").
			WithHint("The dump is damaged, or of a Redis that is newer than the addon's.")
	case errors.As(err, &refused):
		return redisError(ctx, l.addon, err)
	}
	return err
}

func (l *redisLoad) loadSnapshot(in *bufio.Reader) error {
	snapshot, err := rdb.NewReader(in)
	if err != nil {
		return err
	}
	value := &spool{version: snapshot.Version()}
	defer value.close()
	only := -1 // of the dump's databases, where the addon has one
	for {
		e, err := snapshot.Next(func(e rdb.Entry) (io.Writer, error) { return value, value.begin(e.Type) })
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if e.Function != nil {
			if err := l.keepFunction(e.Function); err != nil {
				return err
			}
			continue
		}
		if len(l.mine) == 1 {
			if only >= 0 && only != e.DB {
				return hop3.Errorf(hop3.CodeInvalid, "the dump has data in the databases %d and %d, and the addon has only one", only, e.DB).
					WithHint("Restore it into an addon that Hop3 runs a server for: it has %d.", redisDatabases)
			}
			only, e.DB = e.DB, 0
		}
		if err := l.restoreKey(e, value); err != nil {
			return err
		}
	}
}

func (l *redisLoad) keepFunction(source []byte) error {
	if !own(l.addon) {
		return hop3.Errorf(hop3.CodeInvalid, "the dump has functions, which belong to a whole server: a shared one cannot keep those of addons apart").
			WithHint("Restore it into an addon that Hop3 runs a server for.")
	}
	l.functions = append(l.functions, source)
	return nil
}

func (l *redisLoad) restoreKey(e rdb.Entry, value *spool) error {
	if e.DB >= len(l.scratch) {
		return hop3.Errorf(hop3.CodeInvalid, "the dump has data in the database %d, and the addon has only %d", e.DB, len(l.scratch)).
			WithHint("Move it into one of those first.")
	}
	body, size, err := value.payload()
	if err != nil {
		return err
	}
	if err := l.selectDB(e.DB); err != nil {
		return err
	}
	if e.ExpireAt == 0 {
		l.lasting++
	}
	if _, err := fmt.Fprintf(l.conn.out, "*5\r\n$7\r\nRESTORE\r\n$%d\r\n%s\r\n", len(e.Key), e.Key); err != nil {
		return err
	}
	until := strconv.FormatInt(max(e.ExpireAt, 0), 10)
	if _, err := fmt.Fprintf(l.conn.out, "$%d\r\n%s\r\n", len(until), until); err != nil {
		return err
	}
	if err := l.conn.bulk(size, body); err != nil {
		return err
	}
	if _, err := l.conn.out.WriteString("$6\r\nABSTTL\r\n"); err != nil {
		return err
	}
	return l.sent(size)
}

func (l *redisLoad) selectDB(db int) error {
	if want := l.scratch[db]; want != l.db {
		if err := l.conn.send("SELECT", strconv.Itoa(want)); err != nil {
			return err
		}
		l.db = want
		return l.sent(0)
	}
	return nil
}

// command sends a command to the database that data is prepared in.
func (l *redisLoad) command(db int, args ...string) error {
	if err := l.selectDB(db); err != nil {
		return err
	}
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	if err := l.conn.send(args...); err != nil {
		return err
	}
	return l.sent(int64(size))
}

// sent counts a command, and waits for the replies from time to time.
func (l *redisLoad) sent(size int64) error {
	l.pending++
	l.bytes += size
	if l.pending < 512 && l.bytes < 4<<20 {
		return nil
	}
	return l.settle()
}

func (l *redisLoad) settle() error {
	if err := l.conn.out.Flush(); err != nil {
		return err
	}
	for ; l.pending > 0; l.pending-- {
		if _, err := l.conn.reply(); err != nil {
			return err
		}
	}
	l.bytes = 0
	return nil
}

// exchange has the addon hold what was loaded, in one step.
func (l *redisLoad) exchange(ctx context.Context) error {
	libraries, err := redisFunctions(ctx, l.admin)
	if err != nil {
		return redisError(ctx, l.addon, err)
	}
	pipe := l.admin.TxPipeline()
	if !l.direct() {
		for i, n := range l.mine {
			pipe.Do(ctx, "SWAPDB", n, l.scratch[i])
		}
	}
	if own(l.addon) {
		for _, name := range libraries {
			pipe.FunctionDelete(ctx, name)
		}
		for _, source := range l.functions {
			pipe.FunctionLoad(ctx, string(source))
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	if err := l.stillThere(ctx); err != nil {
		return err
	}
	_, err = pipe.Exec(ctx)
	return redisError(ctx, l.addon, err)
}

// stillThere refuses to exchange what the app has emptied meanwhile, by a
// FLUSHALL.
func (l *redisLoad) stillThere(ctx context.Context) error {
	var keys int64
	info, err := l.admin.Info(ctx, "keyspace").Result()
	if err != nil {
		return redisError(ctx, l.addon, err)
	}
	for _, n := range l.scratch {
		var count int64
		if _, err := fmt.Sscanf(redisInfo(info)["db"+strconv.Itoa(n)], "keys=%d", &count); err == nil {
			keys += count
		}
	}
	if keys < l.lasting {
		return hop3.Errorf(hop3.CodeConflict, "an app has emptied %s while it was restored; it holds what the app has left", l.addon.ID()).
			WithHint("Stop the app that calls FLUSHALL, and restore again.")
	}
	return nil
}
