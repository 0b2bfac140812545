// Command sumdb judges notes and Merkle proofs with golang.org/x/mod, which shares no code with Paraph.
//
// It reads one JSON request on standard input and writes one verdict per question: "" for accepted, else the error.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type noteQuestion struct {
	Note  []byte
	Vkeys []string
}

type recordQuestion struct {
	Proof [][]byte
	Size  int64
	Root  []byte
	Index int64
	Leaf  []byte
	Hash  []byte // of the leaf, where that is asked about
}

func (r recordQuestion) hash() tlog.Hash {
	if r.Hash != nil {
		return hash(r.Hash)
	}
	return tlog.RecordHash(r.Leaf)
}

type treeQuestion struct {
	Proof   [][]byte
	NewSize int64
	NewRoot []byte
	OldSize int64
	OldRoot []byte
}

type request struct {
	Notes   []noteQuestion
	Records []recordQuestion
	Trees   []treeQuestion
	Vkeys   [][]byte
	Skeys   [][]byte
	Logs    []logQuestion
	Skey    string
	Text    string
}

type answer struct {
	Notes   []string
	Records []string
	Trees   []string
	Vkeys   []string
	Skeys   []string
	Logs    []logAnswer
	Signed  string
}

func verdict(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func hash(raw []byte) (h tlog.Hash) {
	if copy(h[:], raw) != tlog.HashSize || len(raw) != tlog.HashSize {
		panic("a hash is 32 bytes")
	}
	return h
}

func hashes(raw [][]byte) []tlog.Hash {
	list := make([]tlog.Hash, 0, len(raw))
	for _, item := range raw {
		list = append(list, hash(item))
	}
	return list
}

func open(q noteQuestion) error {
	var known []note.Verifier
	for _, vkey := range q.Vkeys {
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return err
		}
		known = append(known, verifier)
	}
	_, err := note.Open(q.Note, note.VerifierList(known...))
	return err
}

func sign(skey, text string) (string, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return "", err
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	return string(signed), err
}

func run() error {
	var q request
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		return err
	}
	var a answer
	for _, n := range q.Notes {
		a.Notes = append(a.Notes, verdict(open(n)))
	}
	for _, r := range q.Records {
		a.Records = append(a.Records, verdict(
			tlog.CheckRecord(hashes(r.Proof), r.Size, hash(r.Root), r.Index, r.hash())))
	}
	for _, t := range q.Trees {
		a.Trees = append(a.Trees, verdict(
			tlog.CheckTree(hashes(t.Proof), t.NewSize, hash(t.NewRoot), t.OldSize, hash(t.OldRoot))))
	}
	for _, vkey := range q.Vkeys {
		_, err := note.NewVerifier(string(vkey))
		a.Vkeys = append(a.Vkeys, verdict(err))
	}
	for _, skey := range q.Skeys {
		_, err := note.NewSigner(string(skey))
		a.Skeys = append(a.Skeys, verdict(err))
	}
	for _, l := range q.Logs {
		count, err := folder(l.Directory).judge(l.Vkey)
		a.Logs = append(a.Logs, logAnswer{count, verdict(err)})
	}
	var err error
	if a.Signed, err = sign(q.Skey, q.Text); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
