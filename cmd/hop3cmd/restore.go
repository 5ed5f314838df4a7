package hop3cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/store"
)

// The files of a backup of the server itself, and those of a home.
const (
	savedDatabase = "database.dump"
	settingsFile  = "hop3-server.toml"
	secretFile    = "secret-key"
)

// databaseRestore makes the server's database what a backup has: the directory
// of one that `hop3 backup platform` made, or a file of db:backup. It comes
// before the first start of a server on a new home, too: settings and the
// secret key that the backup has, and the home has not, are put there.
func databaseRestore(cmd *cobra.Command, home string, from string) (err error) {
	from, err = filepath.Abs(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return hop3.Errorf(hop3.CodeNotFound, "the backup cannot be read: %w", err)
	}
	config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(home)})
	if err != nil {
		return err
	}
	// Before a secret key is made that nobody wants.
	lock, err := serverconfig.LockNewHome(config.Home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	file := from
	if info.IsDir() {
		r, err := openServerBackup(cmd.Context(), config, from)
		if err != nil {
			return err
		}
		if config, err = placeSettings(cmd, r, config, home); err != nil {
			return err
		}
		file = filepath.Join(config.Home, "run", "restored.db")
		defer func() { err = errors.Join(err, removed(file)) }()
		if err := errors.Join(removed(file), saveAs(cmd.Context(), r, savedDatabase, file)); err != nil {
			return err
		}
	}
	if err := wantSecret(config); err != nil {
		return err
	}
	if err := serverconfig.Prepare(config); err != nil {
		return err
	}
	aside, err := store.Restore(cmd.Context(), config.DatabaseURL, config.Home, file, store.WithSecret(config.SecretKey))
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if aside != "" {
		fmt.Fprintf(out, "What was there is kept as %s.\n", aside)
	}
	_, err = fmt.Fprintln(out, "Restored the database. Start the server, and then restore the apps whose files are not there: `hop3 backup list` shows their backups.")
	return err
}

// openServerBackup opens and checks a backup of a server.
func openServerBackup(ctx context.Context, config *serverconfig.Config, dir string) (hop3.BackupReader, error) {
	backups, err := backup.Open(backup.Options{Dir: filepath.Join(config.Home, "backups"), Identity: config.Backups.Identity})
	if err != nil {
		return nil, err
	}
	r, err := backups.Open(dir)
	if err != nil {
		return nil, err
	}
	if r.Metadata().App != "" || !r.Has(savedDatabase) {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s is a backup of '%s', not of the server", dir, r.Metadata().App).
			WithHint("Those of the server are in backups/platform of its home.")
	}
	return r, r.Check(ctx)
}

// placeSettings puts settings and the secret key into a home that has none, and
// returns what the settings are then.
func placeSettings(cmd *cobra.Command, r hop3.BackupReader, config *serverconfig.Config, home string) (*serverconfig.Config, error) {
	for _, name := range []string{settingsFile, secretFile} {
		place := filepath.Join(config.Home, name)
		if !r.Has(name) {
			continue
		}
		err := saveAs(cmd.Context(), r, name, place)
		if errors.Is(err, fs.ErrExist) {
			fmt.Fprintf(cmd.OutOrStdout(), "%s stays as it is.\n", place)
			continue
		}
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Restored %s.\n", place)
	}
	return serverconfig.Load(serverconfig.Options{Flags: homeFlag(home)})
}

// wantSecret refuses to go on without the secret key of the server whose
// database it was: a new one would be made.
func wantSecret(config *serverconfig.Config) error {
	if config.SecretKey != nil {
		return nil
	}
	place := filepath.Join(config.Home, secretFile)
	if _, err := os.Lstat(place); err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "the database is of no use without the server's secret key, and %s is not there", place).
			WithHint("Put the one there that you kept, or set HOP3_SECRET_KEY. Only backups that are encrypted have it with them.")
	}
	return nil
}

// saveAs writes a file of a backup to a new one that only its owner may read.
// When it fails there is none.
func saveAs(ctx context.Context, r hop3.BackupReader, name, place string) error {
	out, err := os.OpenFile(place, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = r.Read(ctx, name, func(in io.Reader) error {
		_, err := io.Copy(out, in)
		return err
	})
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(fmt.Errorf("restoring %s: %w", name, err), os.Remove(place))
	}
	return nil
}

func removed(file string) error {
	err := os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
