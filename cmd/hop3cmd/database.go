package hop3cmd

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/serverconfig"
	"github.com/abilian/hop3/hop3/store"
)

// databaseCommands look after the server's database. Only db:migrate and
// db:restore want no server at work on it.
func databaseCommands(home *string) []*cobra.Command {
	with := func(f func(cmd *cobra.Command, config *serverconfig.Config, args []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			config, err := serverconfig.Load(serverconfig.Options{Flags: homeFlag(*home)})
			if err != nil {
				return err
			}
			return f(cmd, config, args)
		}
	}
	return []*cobra.Command{
		{Use: "db:status", Short: "Say which database the server has, and how it is", Args: cobra.NoArgs, RunE: with(databaseStatus)},
		{Use: "db:migrate", Short: "Bring the database to this program's schema, as the server does at its start", Args: cobra.NoArgs, RunE: with(databaseMigrate)},
		{Use: "db:backup <file>", Short: "Copy the database to a new file, also while the server runs", Args: cobra.ExactArgs(1), RunE: with(databaseBackup)},
		{Use: "db:restore <backup>", Short: "Make the database what a backup of the server, or a file of db:backup, has", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
			return databaseRestore(cmd, *home, args[0])
		}},
	}
}

func databaseStatus(cmd *cobra.Command, config *serverconfig.Config, _ []string) error {
	s, err := store.Inspect(cmd.Context(), config.DatabaseURL, config.Home)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Database: %s\n", s.URL)
	if !s.Exists {
		fmt.Fprintln(out, "It is not there yet: the server makes it at its first start.")
		return nil
	}
	fmt.Fprintf(out, "Size: %.1f MB\nSchema: %d, this program has %d\n", float64(s.Size)/1e6, s.Schema, s.Newest)
	if hostSocketAnswers(config.Home) {
		fmt.Fprintln(out, "A server is at work on it.")
	}
	switch {
	case s.Trouble != "":
		return hop3.Errorf(hop3.CodeUnavailable, "the database is damaged: %s", s.Trouble).WithHint("Restore a backup of it: hop3-server db:backup made one, if you had it do so.")
	case s.Schema > s.Newest:
		return hop3.Errorf(hop3.CodeInvalid, "the database was made by a newer Hop3").WithHint("Install that Hop3 again, or restore a backup made before the upgrade.")
	case s.Schema < s.Newest:
		fmt.Fprintln(out, "The next start of the server migrates it, and db:migrate does.")
	}
	return nil
}

func databaseMigrate(cmd *cobra.Command, config *serverconfig.Config, _ []string) (err error) {
	before, err := store.Inspect(cmd.Context(), config.DatabaseURL, config.Home)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if before.Exists && before.Schema == before.Newest {
		fmt.Fprintf(out, "The database has schema %d already.\n", before.Schema)
		return nil
	}
	if err := serverconfig.Prepare(config); err != nil {
		return err
	}
	lock, err := serverconfig.LockHome(config.Home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	db, err := store.Open(cmd.Context(), config.DatabaseURL, config.Home, store.WithSecret(config.SecretKey))
	if err != nil {
		return err
	}
	version, err := db.Version(cmd.Context())
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "The database %s has gone from schema %d to %d.\n", before.URL, before.Schema, version)
	return nil
}

func databaseBackup(cmd *cobra.Command, config *serverconfig.Config, args []string) error {
	file, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	if err := store.Backup(cmd.Context(), config.DatabaseURL, config.Home, file); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Copied the database to %s. What is sealed in it needs the server's secret key: keep %s too, elsewhere.\n",
		file, filepath.Join(config.Home, "secret-key"))
	return err
}
