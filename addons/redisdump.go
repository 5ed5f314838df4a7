package addons

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/abilian/hop3/addons/rdb"
	"github.com/abilian/hop3/hop3"
)

// DumpSuffix returns ".rdb": dumps are snapshots that Redis itself can start
// with.
func (*Redis) DumpSuffix() string { return ".rdb" }

// Dump writes a snapshot of one moment: the server forks, as for one of its own.
// On a configured server only the addon's database is written, as database 0.
func (r *Redis) Dump(ctx context.Context, a hop3.Addon, w io.Writer) (hop3.Inventory, error) {
	o, err := r.dumpOptions(ctx, a)
	if err != nil {
		return nil, err
	}
	conn, err := dialRedis(ctx, o)
	if err != nil {
		return nil, redisError(ctx, a, err)
	}
	defer conn.close()
	in, err := conn.snapshot()
	if err != nil {
		return nil, redisError(ctx, a, err)
	}
	defer r.removeSnapshot(context.WithoutCancel(ctx), a)
	snapshot, err := rdb.NewReader(in)
	if err != nil {
		return nil, redisDumpError(ctx, a, err)
	}
	out := &keepsError{Writer: w}
	inventory, err := copySnapshot(snapshot, rdb.NewWriter(out, snapshot.Version()), dumped(a), own(a))
	if out.err != nil {
		return nil, out.err
	}
	return inventory, redisDumpError(ctx, a, err)
}

// keepsError tells what could not be written from what could not be read.
type keepsError struct {
	io.Writer
	err error
}

func (w *keepsError) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// dumpOptions are the admin's, after the app's user has got in: there is
// something to dump.
func (r *Redis) dumpOptions(ctx context.Context, a hop3.Addon) (*redis.Options, error) {
	o, err := r.adminOptions(a)
	if err != nil {
		return nil, err
	}
	db, err := r.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	closeRedis(db)
	return o, nil
}

// removeSnapshot deletes what the server keeps of the snapshot on disk. It is
// of no use to it: it starts with the commands it has logged.
func (r *Redis) removeSnapshot(ctx context.Context, a hop3.Addon) {
	if !own(a) {
		return
	}
	dir, err := r.server.Services().Prepare(ctx, a.Details[detailService])
	if err != nil {
		return
	}
	if files, err := openServiceFiles(dir); err == nil {
		_ = files.root.Remove(redisDumpFile) // the next one replaces it
		files.close()
	}
}

// dumped returns which database of a dump one of the server becomes; false for
// none.
func dumped(a hop3.Addon) func(db int) (int, bool) {
	if own(a) {
		return func(db int) (int, bool) { return db, db < redisDatabases }
	}
	mine := int(number(a.Details[redisDB]))
	return func(db int) (int, bool) { return 0, db == mine }
}

// copySnapshot copies what as says into a dump, and counts it. Functions belong
// to a whole server.
func copySnapshot(in *rdb.Reader, out *rdb.Writer, as func(int) (int, bool), functions bool) (hop3.Inventory, error) {
	inventory := hop3.Inventory{}
	for {
		e, err := in.Next(func(e rdb.Entry) (io.Writer, error) {
			db, ok := as(e.DB)
			switch {
			case !ok && functions: // they and all else are the addon's
				return nil, hop3.Errorf(hop3.CodeInvalid, "there are keys in the database %d: only the first %d are kept in dumps", e.DB, redisDatabases).
					WithHint("Have the app use one of those.")
			case !ok:
				return nil, nil
			}
			e.DB = db
			return out, out.Begin(e)
		})
		if errors.Is(err, io.EOF) {
			return inventory, out.Close()
		} else if err != nil {
			return nil, err
		}
		if e.Function != nil && functions {
			inventory["function"]++
			err = out.Function(e.Function)
		} else if e.Function != nil {
			continue
		} else if _, ok := as(e.DB); ok && e.ExpireAt == 0 {
			inventory[e.Kind()]++
		}
		if err != nil {
			return nil, err
		}
	}
}

// redisDumpError tells what is wrong with a snapshot from what is with the
// connection.
func redisDumpError(ctx context.Context, a hop3.Addon, err error) error {
	var known *hop3.Error
	if err == nil || ctx.Err() != nil || errors.As(err, &known) {
		return redisError(ctx, a, err)
	}
	return unavailable(err, "the snapshot of "+a.ID().String()+" cannot be read: "+err.Error(), "Try again: the server may have ended meanwhile, or its disk may be full. Its log says more.")
}

// Inventory counts keys by the type of their values. Those that end by
// themselves are not counted: they do so between a dump and its restore too,
// which checks for itself that it leaves none out.
func (r *Redis) Inventory(ctx context.Context, a hop3.Addon) (hop3.Inventory, error) {
	if _, err := r.adminOptions(a); err != nil {
		return nil, err
	}
	db, err := r.asApp(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeRedis(db)
	inventory := hop3.Inventory{}
	if !own(a) {
		return inventory, redisError(ctx, a, countRedis(ctx, db, inventory))
	}
	info, err := db.Info(ctx, "keyspace").Result()
	if err != nil {
		return nil, redisError(ctx, a, err)
	}
	for n := range redisDatabases {
		if redisInfo(info)["db"+strconv.Itoa(n)] == "" {
			continue
		}
		o := *db.Options()
		o.DB = n
		one, err := connectRedis(ctx, a, &o)
		if err != nil {
			return nil, err
		}
		err = countRedis(ctx, one, inventory)
		closeRedis(one)
		if err != nil {
			return nil, redisError(ctx, a, err)
		}
	}
	admin, err := r.admin(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeRedis(admin)
	libraries, err := redisFunctions(ctx, admin)
	if err == nil && len(libraries) > 0 {
		inventory["function"] = int64(len(libraries))
	}
	return inventory, redisError(ctx, a, err)
}

// redisFunctions returns the names of the libraries of functions.
func redisFunctions(ctx context.Context, admin *redis.Client) (names []string, err error) {
	list, err := admin.FunctionList(ctx, redis.FunctionListQuery{}).Result()
	var reply redis.Error
	if errors.As(err, &reply) { // there are none before 7.0
		return nil, nil
	}
	for _, l := range list {
		names = append(names, l.Name)
	}
	return names, err
}

// countRedis counts the keys of one database. One that is there all the time
// may be seen twice when others come and go, so it counts again when it has not
// seen as many as there are.
func countRedis(ctx context.Context, db *redis.Client, inventory hop3.Inventory) error {
	var found hop3.Inventory
	for range 3 {
		keys, err := db.DBSize(ctx).Result()
		if err != nil {
			return err
		}
		var seen int64
		if found, seen, err = scanRedis(ctx, db); err != nil {
			return err
		}
		if seen == keys {
			break
		}
	}
	for kind, n := range found {
		inventory[kind] += n
	}
	return nil
}

func scanRedis(ctx context.Context, db *redis.Client) (found hop3.Inventory, seen int64, err error) {
	found = hop3.Inventory{}
	for cursor := uint64(0); ; {
		keys, next, err := db.Scan(ctx, cursor, "", 1000).Result()
		if err != nil {
			return nil, 0, err
		}
		pipe := db.Pipeline()
		for _, key := range keys {
			pipe.Type(ctx, key)
			pipe.PTTL(ctx, key)
		}
		replies, err := pipe.Exec(ctx)
		if err != nil {
			return nil, 0, err
		}
		for i := 0; i+1 < len(replies); i += 2 {
			kind, _ := replies[i].(*redis.StatusCmd)
			ttl, _ := replies[i+1].(*redis.DurationCmd)
			if kind == nil || ttl == nil || kind.Val() == "none" {
				continue
			}
			seen++
			if ttl.Val() == -1 { // of the client's own kind: no end
				found[kindOf(kind.Val())]++
			}
		}
		if cursor = next; cursor == 0 {
			return found, seen, nil
		}
	}
}

// kindOf is a type as snapshots tell it: those of modules have no names there.
func kindOf(name string) string {
	switch name {
	case "string", "list", "set", "zset", "hash", "stream":
		return name
	}
	return "module"
}
