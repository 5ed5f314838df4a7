// Command agent is how the machine test gives orders inside of its machine: it
// runs commands as root and writes files for whoever can reach it. It belongs
// in no other machine.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// order is a command to run. The test has the same type.
type order struct {
	Args []string `json:"args"`
}

// result is what became of an order.
type result struct {
	Status int    `json:"status"` // -1: it did not run, or was killed
	Output string `json:"output"`
}

func main() {
	http.HandleFunc("POST /run", run)
	http.HandleFunc("PUT /file", write)
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}

// run runs a command and answers when it has ended.
func run(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || len(o.Args) == 0 {
		http.Error(w, "that is no order", http.StatusBadRequest)
		return
	}
	cmd := exec.CommandContext(r.Context(), o.Args[0], o.Args[1:]...)
	out, err := cmd.CombinedOutput()
	answer := result{Output: string(out)}
	if err != nil {
		answer.Status = -1
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			answer.Status = exit.ExitCode()
		}
		answer.Output += err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		log.Print(err)
	}
}

// write writes the body to a file, and makes the directories above it.
func write(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	path := query.Get("path")
	mode, err := strconv.ParseUint(query.Get("mode"), 8, 32)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = save(path, os.FileMode(mode), r.Body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func save(path string, mode os.FileMode, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
