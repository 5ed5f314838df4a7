package hop3cmd

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/cli"
)

// manCommand writes the manual of the host's commands; `hop3 man` writes that
// of all others.
func manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man <directory>", Short: "Write the manual of these commands into a directory", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return hop3.Errorf(hop3.CodeInvalid, "making the directory: %w", err)
			}
			root.DisableAutoGenTag = true // the pages of a version are always the same
			header := &doc.GenManHeader{Section: "1", Source: "Hop3 " + cli.Version, Manual: "Hop3"}
			if err := doc.GenManTree(root, header, dir); err != nil {
				return hop3.Errorf(hop3.CodeInvalid, "writing the manual: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Wrote the manual into %s. Read it: man -l %s\n", dir, filepath.Join(dir, "hop3-server.1"))
			return err
		},
	}
}
