package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // C2SP tlog-tiles: 256 hashes a tile

type logQuestion struct {
	Directory string
	Vkey      string
}

type logAnswer struct {
	Records int64
	Error   string
}

// folder reads tiles as C2SP tlog-tiles lays them out; x/mod's TileHashReader holds each against the tree's root.
type folder string

func (folder) Height() int { return height }

func (folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (dir folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var list [][]byte
	for _, tile := range tiles {
		data, err := dir.read(strconv.Itoa(tile.L), tile.N, tile.W, tile.W*tlog.HashSize)
		if err != nil {
			return nil, err
		}
		list = append(list, data)
	}
	return list, nil
}

// read gives a file, or the beginning of the full one that may stand in for a partial one; limit < 0 for no limit.
func (dir folder) read(level string, n int64, width, limit int) ([]byte, error) {
	stem := filepath.Join(string(dir), "tile", level, number(n))
	data, err := os.ReadFile(fmt.Sprintf("%s.p/%d", stem, width))
	if width == 1<<height || os.IsNotExist(err) {
		data, err = os.ReadFile(stem)
	}
	if err == nil && limit >= 0 && len(data) > limit && width < 1<<height {
		data = data[:limit]
	}
	return data, err
}

func number(n int64) string {
	text := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		text = fmt.Sprintf("x%03d/%s", n%1000, text)
	}
	return text
}

func (dir folder) tree(vkey string) (tree tlog.Tree, err error) {
	signed, err := os.ReadFile(filepath.Join(string(dir), "checkpoint"))
	if err != nil {
		return tree, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("no checkpoint of %s", verifier.Name())
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err == nil {
		tree.Hash = hash(root)
	}
	return tree, err
}

// judge holds every record of a log against the root that its key signed.
func (dir folder) judge(vkey string) (count int64, err error) {
	tree, err := dir.tree(vkey)
	if err != nil {
		return 0, err
	}
	reader := tlog.TileHashReader(tree, dir)
	for start := int64(0); start < tree.N; start += 1 << height {
		records, err := dir.bundle(start, min(tree.N-start, 1<<height))
		if err != nil {
			return count, err
		}
		var indexes []int64
		for n := range records {
			indexes = append(indexes, tlog.StoredHashIndex(0, start+int64(n)))
		}
		signed, err := reader.ReadHashes(indexes)
		if err != nil {
			return count, err
		}
		for n, record := range records {
			found := tlog.RecordHash(record)
			if !bytes.Equal(found[:], signed[n][:]) {
				return count, fmt.Errorf("record %d is not the one that was signed", start+int64(n))
			}
			count++
		}
	}
	return count, nil
}

func (dir folder) bundle(start, width int64) ([][]byte, error) {
	data, err := dir.read("entries", start>>height, int(width), -1)
	if err != nil {
		return nil, err
	}
	var records [][]byte
	for int64(len(records)) < width {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("the bundle at %d ends early", start)
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		records, data = append(records, data[2:end]), data[end:]
	}
	return records, nil
}
